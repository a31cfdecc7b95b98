"""A run in the page: live and finished, with keys, on a narrow screen, and with hostile texts."""

from __future__ import annotations

import asyncio
import json
import re

import pytest
from playwright.async_api import Locator, expect

from tests.runtime.inference.scripted_model import Failure, Gate, Hang, Recorded, ScriptedModel
from tests.runtime.inference.service import Service
from tests.runtime.inference.viewer.conftest import Tab
from tests.runtime.inference.viewer.runs import ask, begin

BATCH = """I cut the text.

```repl
# look at each half
answers = llm_query_batched([f"part {number}" for number in range(3)])
print("halves", answers)
```
"""
CHILD = """```repl
print(rlm_query("Look closer"))
undefined_name
```"""


def play_child(turn: Recorded) -> str:
    return "```repl\nprint(llm_query('deeper'))\n```" if len(turn.messages) < 4 else "FINAL(a child's answer)"


def item(tab: Tab, name: str) -> Locator:
    """A row of the tree, by its own words."""
    return tab.page.get_by_role("treeitem").locator("> .label").filter(has_text=re.compile(re.escape(name)))


def details(tab: Tab) -> Locator:
    return tab.page.get_by_role("region", name="Details")


async def open_run(tab: Tab, run_id: str) -> None:
    await tab.enter()
    await expect(tab.page.get_by_role("button", name="Forget the key")).to_be_visible()
    await tab.open(f"/#/runs/{run_id}")


async def test_live_run_is_followed_to_its_answer(tab: Tab, service: Service, model: ScriptedModel) -> None:
    gate = asyncio.Event()
    model.child_rule = play_child
    model.enqueue(BATCH, CHILD, Gate(gate, "FINAL(forty-two)"))
    run_id = await begin(service, context="a text " * 100)
    await open_run(tab, run_id)
    await expect(item(tab, "Turn 3")).to_be_visible()
    await expect(details(tab)).to_contain_text("The model is asked.")
    await expect(tab.page.locator("header.head")).to_contain_text("running")
    await expect(item(tab, "3 sub-calls")).to_be_visible()
    await expect(item(tab, "Child run 1: Look closer")).to_be_visible()
    gate.set()
    await expect(details(tab)).to_contain_text("forty-two")
    head = tab.page.locator("header.head")
    await expect(head).to_contain_text("completed")
    await expect(head).to_contain_text("3 turns")
    await expect(head).to_contain_text("6 sub-calls")
    await expect(head).to_contain_text("text, 700 characters")
    await expect(tab.page.get_by_role("button", name="Cancel")).to_be_hidden()
    assert [problem for problem in tab.problems if "401" not in problem] == []


async def test_finished_run_shows_code_output_error_sub_calls_and_children(
    tab: Tab, service: Service, model: ScriptedModel
) -> None:
    model.child_rule = play_child
    model.enqueue(BATCH, CHILD, "FINAL(forty-two)")
    await open_run(tab, await ask(service))
    await item(tab, "look at each half").click()
    await expect(details(tab).locator("code .tok-comment")).to_have_text("# look at each half")
    await expect(details(tab).locator("code .tok-keyword").first).to_have_text("for")
    await expect(details(tab)).to_contain_text("halves ['re: part 0', 're: part 1', 're: part 2']")
    await item(tab, "3 sub-calls").click()
    await expect(details(tab).get_by_role("listitem")).to_contain_text(["part 0re: part 0", "part 1", "part 2"])
    await item(tab, "Child run 1").click()
    await expect(details(tab)).to_contain_text("a child's answer")
    await item(tab, "print(rlm_query").click()
    await expect(details(tab)).to_contain_text("NameError: name 'undefined_name' is not defined")
    await item(tab, "Turn 1").first.click()
    await expect(details(tab)).to_contain_text("I cut the text.")
    await tab.page.locator("svg rect.code").first.click(force=True)
    await expect(details(tab).get_by_role("heading", name="Code of turn 1")).to_be_visible()


async def test_run_without_answer_says_why_and_what_it_had(tab: Tab, service: Service, model: ScriptedModel) -> None:
    model.enqueue("```repl\nanswer['content'] = 'half of it'\nllm_query_batched(['p'] * 9)\n```")
    await open_run(tab, await ask(service, options={"max_subcalls": 8}))
    await expect(details(tab)).to_contain_text("max_subcalls:")
    await expect(details(tab)).to_contain_text("half of it")
    model.enqueue(Failure(401))
    failed = await ask(service)
    await tab.open(f"/#/runs/{failed}")
    await expect(tab.page.locator("header.head")).to_contain_text("failed")


async def test_running_run_is_cancelled_by_its_button(tab: Tab, service: Service, model: ScriptedModel) -> None:
    model.enqueue(Hang())
    await open_run(tab, await begin(service))
    await model.until(lambda scripted: scripted.hanging == 1)
    await tab.page.get_by_role("button", name="Cancel").click()
    await expect(tab.page.locator("header.head")).to_contain_text("cancelled")
    await model.until(lambda scripted: scripted.abandoned == 1)


async def test_lost_connection_is_said_and_the_run_goes_on_where_it_broke_off(
    tab: Tab, service: Service, model: ScriptedModel
) -> None:
    gates = [asyncio.Event(), asyncio.Event()]
    model.enqueue("```repl\nprint(1)\n```", Gate(gates[0], "```repl\nprint(2)\n```"), Gate(gates[1], "FINAL(done)"))
    run_id = await begin(service)
    await open_run(tab, run_id)
    await expect(item(tab, "Turn 2")).to_be_visible()
    events = f"**/rlm/v1/runs/{run_id}/events**"
    await tab.page.route(events, lambda route: route.abort())
    await tab.page.reload()
    await expect(tab.page.get_by_text("The connection is lost; trying again.")).to_be_visible()
    gates[0].set()
    await model.until(lambda scripted: len(scripted.root_calls) == 3)
    await tab.page.unroute(events)
    await expect(item(tab, "Turn 3")).to_be_visible()
    await expect(tab.page.get_by_text("The connection is lost; trying again.")).to_be_hidden()
    await expect(tab.page.get_by_role("treeitem").locator("> .label").filter(has_text="Turn")).to_have_count(3)
    gates[1].set()
    await expect(details(tab)).to_contain_text("done")


async def test_tree_is_walked_by_keys(tab: Tab, service: Service, model: ScriptedModel) -> None:
    model.enqueue(BATCH, "FINAL(forty-two)")
    await open_run(tab, await ask(service))
    selected = tab.page.locator('[role="treeitem"][aria-selected="true"] > .label')
    await item(tab, "Answer").click()
    for key, chosen in [
        ("Home", "Run"),
        ("ArrowDown", "Turn 1"),
        ("ArrowRight", "look at each half"),
        ("ArrowDown", "3 sub-calls"),
        ("ArrowLeft", "look at each half"),
        ("ArrowLeft", "look at each half"),  # closes it
        ("ArrowDown", "Turn 2"),
        ("ArrowUp", "look at each half"),
        ("ArrowRight", "look at each half"),  # opens it
        ("ArrowRight", "3 sub-calls"),
        ("End", "Answer"),
    ]:
        await tab.page.keyboard.press(key)
        await expect(selected).to_contain_text(chosen)
    await expect(details(tab).get_by_role("heading", name="Answer")).to_be_visible()
    await expect(tab.page.locator('[role="treeitem"][tabindex="0"]')).to_have_count(1)


async def test_page_is_used_by_keys_alone_from_the_key_to_a_run(
    tab: Tab, service: Service, model: ScriptedModel
) -> None:
    model.enqueue("FINAL(1)", "FINAL(2)")
    await ask(service, "the older")
    await ask(service, "the newer")
    await tab.open()
    await expect(tab.page.get_by_label("API key")).to_be_focused()
    await tab.page.keyboard.type("test-user-key")
    await tab.page.keyboard.press("Enter")
    await expect(tab.page.get_by_role("link", name="the newer")).to_be_visible()
    await tab.page.get_by_label("Show").focus()
    await tab.page.keyboard.press("Tab")
    await tab.page.keyboard.press("ArrowDown")
    await expect(tab.page.get_by_role("link", name="the older")).to_be_focused()
    await tab.page.keyboard.press("Enter")
    await expect(tab.page.get_by_role("heading", name="the older", level=1)).to_be_visible()


@pytest.mark.parametrize("width", [320, 390, 768])
async def test_narrow_screen_shows_list_and_run_in_turn_without_sideways_scrolling(
    tab: Tab, service: Service, model: ScriptedModel, width: int
) -> None:
    model.enqueue(BATCH + "x" * 500, "FINAL(" + "w" * 400 + ")")
    question = "How-many-" + "very" * 100
    await ask(service, question)
    await tab.page.set_viewport_size({"width": width, "height": 700})
    await tab.enter()
    await tab.page.get_by_role("link", name="How-many").click()
    await expect(item(tab, "Answer")).to_be_visible()
    await expect(tab.page.get_by_role("navigation", name="Runs")).to_be_hidden()
    await item(tab, "look at each half").click()
    await expect(details(tab).get_by_role("heading", name="Code of turn 1")).to_be_visible()
    assert await tab.page.evaluate("document.scrollingElement.scrollWidth") <= width
    await tab.page.get_by_role("link", name="All runs").click()
    await expect(tab.page.get_by_role("link", name="How-many")).to_be_visible()


async def test_hostile_texts_are_shown_and_do_nothing(tab: Tab, service: Service, model: ScriptedModel) -> None:
    markup = (
        "<img src=x onerror='window.hit=1'><script>window.hit=2</script></pre><a href='javascript:window.hit=3'>x</a>"
    )
    direction = "\u202etxt.exe\u0007"
    model.sub_rule = lambda _: markup
    model.enqueue(
        f"{markup}\n```repl\n# {markup}\nprint({markup!r}, {direction!r} + chr(0x202E))\nllm_query({markup!r})\n```",
        f"FINAL({markup})",
    )
    run_id = await ask(service, markup)
    await open_run(tab, run_id)
    await expect(tab.page.get_by_role("heading", level=1)).to_contain_text("<img src=x onerror=")
    for name in ("Turn 1", "# <img", "1 sub-call", "Answer"):
        await item(tab, name).first.click()
        await expect(details(tab)).to_contain_text("<script>window.hit=2</script>")
    await item(tab, "# <img").click()
    await expect(details(tab)).to_contain_text("\\u202e")
    text = await tab.page.evaluate("document.body.textContent")
    assert "\u202e" not in text
    assert await tab.page.evaluate("window.hit ?? null") is None
    assert await tab.page.locator("img, #run script, a[href^='javascript']").count() == 0
    assert all(address.startswith(tab.url) for address in tab.asked)


async def test_run_that_lost_its_session_and_called_tools_tells_both_and_unknown_events_are_shown(
    tab: Tab, service: Service, model: ScriptedModel
) -> None:
    """Events as the service says them, put into the stream of a run that has said others."""
    model.enqueue("FINAL(1)")
    run_id = await ask(service)
    told: list[tuple[str, dict[str, object]]] = [
        ("run.started", {"model": "m", "context": {"type": "none", "characters": 0}}),
        ("iteration.started", {"iteration": 1}),
        ("cell.started", {"iteration": 1, "code": "weather(city='Oslo')"}),
        ("tool.started", {"iteration": 1, "tool": "weather", "arguments_preview": '{"city": "Oslo"}'}),
        (
            "tool.completed",
            {
                "iteration": 1,
                "tool": "weather",
                "http_status": 503,
                "response_bytes": 12,
                "response_preview": "",
                "duration_s": 0.2,
                "error": "the tool answered with status 503",
            },
        ),
        ("session.recovered", {"iteration": 1, "reason": "unreachable", "cells": 3, "duration_s": 0.1}),
        ("run.diverged", {"iteration": 1}),
        ("something.new", {"weight": "heavy"}),
        ("run.failed", {"error": {"code": "timeout", "message": "out of time"}, "iterations": 1, "sub_calls": 0}),
    ]
    usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0, "cost": None}
    common = {"run_id": run_id, "at": 1.0, "node": 0, "usage": usage, "usage_by_model": {}, "duration_s": 1.0}
    events = [common | {"seq": seq, "type": name} | fields for seq, (name, fields) in enumerate(told)]
    body = "".join(f"id: {event['seq']}\ndata: {json.dumps(event)}\n\n" for event in events)
    await tab.page.route(
        f"**/rlm/v1/runs/{run_id}/events**", lambda route: route.fulfill(body=body, content_type="text/event-stream")
    )
    await open_run(tab, run_id)
    for name, shown in [
        ("Tool weather", "the tool answered with status 503"),
        ("Session rebuilt", "unreachable"),
        ("Diverged after a loss", "iteration"),
        ("something.new", "heavy"),
        ("No answer", "timeout: out of time"),
    ]:
        await item(tab, name).click()
        await expect(details(tab)).to_contain_text(shown)
