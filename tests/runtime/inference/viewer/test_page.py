"""What the page is before it shows any run: its policy, its key, its list."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import expect

from runtime.inference.viewer_page import ViewerPage
from tests.runtime.inference.scripted_model import Failure, Gate, ScriptedModel
from tests.runtime.inference.service import Service
from tests.runtime.inference.viewer.conftest import Tab
from tests.runtime.inference.viewer.runs import ask, begin

REFUSED = "Failed to load resource: the server responded with a status of 401 (Unauthorized)"


async def test_files_need_no_key_and_carry_the_policy_while_runs_are_refused_without_one(service: Service) -> None:
    without_key = {"Authorization": ""}
    for path in sorted(ViewerPage().paths):
        async with service.http.get(service.url + path, headers=without_key) as response:
            assert response.status == 200, path
            policy = response.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "require-trusted-types-for 'script'" in policy
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            etag = response.headers["ETag"]
        async with service.http.get(service.url + path, headers={**without_key, "If-None-Match": etag}) as response:
            assert (response.status, await response.read()) == (304, b"")
    async with service.http.get(f"{service.url}/rlm/v1/runs", headers=without_key) as response:
        assert response.status == 401


async def test_path_outside_the_viewer_is_not_served(service: Service) -> None:
    for path in ("/viewer/../app.py", "/viewer/%2e%2e/app.py", "/viewer/", "/viewer/prism-LICENSE.txt"):
        async with service.http.get(service.url + path) as response:
            assert response.status == 404, path


async def test_wrong_key_is_said_and_the_right_one_opens_the_list_without_any_outside_address(
    tab: Tab, service: Service, model: ScriptedModel
) -> None:
    model.enqueue("FINAL(1)")
    await ask(service, "What is this?")
    await tab.enter("wrong-key")
    await expect(tab.page.get_by_role("alert").filter(has_text="does not know this key")).to_be_visible()
    await tab.enter()
    await expect(tab.page.get_by_role("link", name="What is this?")).to_be_visible()
    assert all(address.startswith(tab.url) for address in tab.asked)
    assert set(tab.problems) == {REFUSED}


async def test_key_outlives_a_reload_is_sent_to_nobody_else_and_is_forgotten_on_demand(tab: Tab) -> None:
    await tab.enter()
    await expect(tab.page.get_by_text("No runs yet.")).to_be_visible()
    await tab.page.reload()
    await expect(tab.page.get_by_text("No runs yet.")).to_be_visible()
    assert await tab.page.evaluate(
        "[localStorage.length, document.cookie, location.href.includes('test-user-key')]"
    ) == [
        0,
        "",
        False,
    ]
    await tab.page.get_by_role("button", name="Forget the key").click()
    await expect(tab.page.get_by_label("API key")).to_be_focused()
    assert await tab.page.evaluate("sessionStorage.length") == 0


async def test_runs_of_another_key_are_not_shown(tab: Tab, service: Service, model: ScriptedModel) -> None:
    model.enqueue("FINAL(1)")
    run_id = await ask(service, "A secret question")
    await tab.enter("other-key")
    await expect(tab.page.get_by_text("No runs yet.")).to_be_visible()
    await tab.open(f"/#/runs/{run_id}")
    await expect(tab.page.get_by_text("There is no such run.")).to_be_visible()


async def test_list_keeps_up_with_new_runs_and_shows_those_of_one_status(
    tab: Tab, service: Service, model: ScriptedModel
) -> None:
    await tab.enter()
    await expect(tab.page.get_by_text("No runs yet.")).to_be_visible()
    gate = asyncio.Event()
    model.enqueue("FINAL(1)", Failure(401), Gate(gate, "FINAL(2)"))
    await ask(service, "It ends well")
    await ask(service, "It fails")
    await begin(service, "It goes on")
    links = tab.page.get_by_role("navigation", name="Runs").get_by_role("link")
    await expect(links).to_contain_text(["It goes on", "It fails", "It ends well"])
    for status, question in [("failed", "It fails"), ("running", "It goes on"), ("completed", "It ends well")]:
        await tab.page.get_by_label("Show").select_option(status)
        await expect(links).to_contain_text([question])
        await expect(links).to_have_count(1)
    await tab.page.get_by_label("Show").select_option("cancelled")
    await expect(tab.page.get_by_text("No run is cancelled.")).to_be_visible()
    gate.set()


async def test_older_runs_come_on_demand(tab: Tab, service: Service, model: ScriptedModel) -> None:
    model.enqueue(*["FINAL(1)"] * 35)
    await asyncio.gather(*(ask(service, f"question {number}") for number in range(35)))
    await tab.enter()
    links = tab.page.get_by_role("navigation", name="Runs").get_by_role("link")
    await expect(links).to_have_count(30)
    await tab.page.get_by_role("button", name="Older runs").click()
    await expect(links).to_have_count(35)
    await expect(tab.page.get_by_role("button", name="Older runs")).to_be_hidden()


@pytest.mark.parametrize("attempt", ["eval('1')", "new Function('1')", "document.body.innerHTML = '<b>x</b>'"])
async def test_policy_stops_what_an_injected_text_would_need(tab: Tab, attempt: str) -> None:
    await tab.open()
    attempted = f"try {{ {attempt}; done(null) }} catch (error) {{ done(error.name) }}"
    # In a task of the page's own: what a debugger evaluates directly is above the policy.
    refused = await tab.page.evaluate(f"() => new Promise((done) => setTimeout(() => {{ {attempted} }}))")
    assert refused in {"EvalError", "TypeError"}
