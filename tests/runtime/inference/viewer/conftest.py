"""A real browser for the viewer's tests: Debian's or the user's Chromium, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from runtime.inference.replies import Pace
from runtime.inference.settings import InferenceSettings
from tests.runtime.inference.service import API_KEY, Service, run_service, write_keys

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
DEADLINE_MS = 60_000
ARGUMENTS = [
    "--no-sandbox",  # the tests run as root too, for which Chromium has no sandbox
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]


@dataclass
class Tab:
    """One page, with everything that went wrong in it and every address that it asked for."""

    page: Page
    url: str
    problems: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    async def open(self, path: str = "/") -> None:
        await self.page.goto(self.url + path)

    async def enter(self, key: str = API_KEY) -> None:
        """Open the page and give it the key."""
        await self.open()
        await self.page.get_by_label("API key").fill(key)
        await self.page.get_by_role("button", name="Show runs").click()


@pytest.fixture
async def service(settings: InferenceSettings, tmp_path: Path) -> AsyncIterator[Service]:
    keys = write_keys(tmp_path / "keys", tester=API_KEY, other="other-key")
    async with run_service(settings, keys, Pace(heartbeat=0.2)) as running:
        yield running


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    program = next((path for name in PROGRAMS if (path := shutil.which(name))), None)
    if program is None:
        pytest.skip("no Chromium is installed (on Debian: apt-get install chromium)")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest.fixture
async def tab(browser: Browser, service: Service) -> AsyncIterator[Tab]:
    page = await browser.new_page(viewport={"width": 1280, "height": 800})
    page.set_default_timeout(DEADLINE_MS)
    expect.set_options(timeout=DEADLINE_MS)
    opened = Tab(page, service.url)
    page.on("pageerror", lambda error: opened.problems.append(str(error)))
    page.on("console", lambda message: opened.problems.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: opened.asked.append(request.url))
    yield opened
    await page.close()
