"""Says at the end of a run what it could not test on this machine; with CI=true that is a failure, never a silence."""

from __future__ import annotations

import os

import pytest

NOTHING_MISSING = "everything could run on this machine"


def not_run(terminalreporter: pytest.TerminalReporter) -> list[str]:
    """Each skipped test or module with its reason, once."""
    reports = terminalreporter.stats.get("skipped", [])
    reasons = {str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr) for report in reports}
    return sorted(reason.removeprefix("Skipped: ") for reason in reasons)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    missing = not_run(terminalreporter)
    terminalreporter.write_line("not run: " + "; ".join(missing) if missing else NOTHING_MISSING)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A part that cannot run fails a CI run that was green otherwise."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and isinstance(reporter, pytest.TerminalReporter) and not_run(reporter):
        session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED
