"""What the root model is told: the question always, the context never."""

from __future__ import annotations

from runtime.inference.prompts import open_transcript
from runtime.inference.question import DocumentsContext, Question, TextContext, Turn, build_context


def first_message(question: Question) -> str:
    system, user = open_transcript(question)
    assert system["role"] == "system"
    return user["content"]


def test_text_is_described_and_not_shown() -> None:
    shown = first_message(Question("Where is it?", TextContext("needle in hay\n" * 100_000)))
    assert "str: 1,400,000 characters (about 350,000 tokens), 100,001 lines" in shown
    assert "about 7 pieces" in shown
    assert "<question>\nWhere is it?\n</question>" in shown
    assert "needle" not in shown


def test_documents_are_listed_by_path_up_to_a_dozen() -> None:
    documents = [{"path": f"f{index}.py", "text": "secret"} for index in range(20)]
    shown = first_message(Question("Which?", DocumentsContext(documents)))  # type: ignore[arg-type]  # plain dicts
    assert "list of 20 dicts" in shown
    assert "f0.py (6 characters)" in shown
    assert "... and 8 more" in shown
    assert "secret" not in shown


def test_json_is_described_by_shape() -> None:
    assert "dict with 2 keys: 'a', 'b'" in first_message(Question("?", build_context({"a": "secret", "b": 2})))
    assert "list of 3 items (dict, int)" in first_message(Question("?", build_context([1, 2, {}])))
    assert "`context` is a int" in first_message(Question("?", build_context(5)))


def test_instructions_go_to_the_system_prompt() -> None:
    system, _ = open_transcript(Question("?", TextContext(""), instructions="Answer in French."))
    assert system["content"].endswith("Answer in French.")


def test_history_and_answer_bound_are_mentioned() -> None:
    question = Question("?", TextContext(""), history=[Turn(role="user", content="x")], max_answer_tokens=50)
    shown = first_message(question)
    assert "`history` has 1 earlier turns" in shown
    assert "at most about 50 tokens" in shown
