"""What a root model's reply means: the whole table of dialects, and the fences around code."""

from __future__ import annotations

import pytest

from runtime.inference.parsing import FinalText, FinalVariable, parse_reply


@pytest.mark.parametrize(
    ("text", "final"),
    [
        ("FINAL(42)", "42"),
        ("   FINAL(42)", "42"),
        ("\tFINAL(42)", "42"),
        ("So it is clear.\nFINAL(42)\n", "42"),
        ("FINAL(f(a,b))", "f(a,b)"),
        ("FINAL(42) as shown (see above) twice (really)", "42"),
        ("FINAL(first)\nFINAL(second)", "first"),
        ("FINAL()\nFINAL(second)", "second"),
        ('FINAL("""a\nb""")', "a\nb"),
        ("FINAL('''a) b''')", "a) b"),
        ('FINAL("a\\tb")', "a\tb"),
        ("FINAL('it is (unbalanced')", "it is (unbalanced"),
        ("FINAL(It's done)", "It's done"),
        ("FINAL(a smile :( )", "a smile :("),
        ("FINAL(two\nlines)", "two\nlines"),
        ("<think>FINAL(1)</think>\nFINAL(2)", "2"),
        ("<think>\nFINAL(1)\n</think>FINAL(2)", "2"),
        ("the template opened it\nFINAL(1)\n</think>\nFINAL(2)", "2"),
        ("FINAL(Use this:\n```python\nprint(1)\n```\n)", "Use this:\n```python\nprint(1)\n```"),
    ],
)
def test_final_at_line_start_is_the_answer(text: str, final: str) -> None:
    reply = parse_reply(text)
    assert reply.final == FinalText(final)
    assert reply.blocks == ()
    assert not reply.empty_final


@pytest.mark.parametrize(
    "text",
    [
        "I will then do FINAL(42)",
        "**FINAL(7)**",
        "`FINAL(7)`",
        "final(7)",
        "FINAL (7)",
        "FINALLY(7)",
        "FINAL(never closed",
        "<think>FINAL(3)</think>",
        "<think>\nFINAL(3)\n",
        "I <think>hm\nFINAL(3)\n</think> see",
        "FINAL(3)\n</think>\n",
        "```json\nFINAL(3)\n```",
        "```\nFINAL(3)\n```",
    ],
)
def test_final_elsewhere_is_no_answer(text: str) -> None:
    reply = parse_reply(text)
    assert reply.final is None
    assert not reply.empty_final


@pytest.mark.parametrize(
    "text", ["FINAL_VAR(x)", 'FINAL_VAR("x")', "FINAL_VAR('x')", "  FINAL_VAR( x )", "FINAL_VAR(`x`)"]
)
def test_final_var_names_a_variable(text: str) -> None:
    assert parse_reply(text).final == FinalVariable("x")


@pytest.mark.parametrize("text", ["FINAL()", "FINAL(  )", "FINAL_VAR()", 'FINAL("")'])
def test_empty_final_is_said_to_be_empty(text: str) -> None:
    reply = parse_reply(text)
    assert reply.final is None
    assert reply.empty_final


@pytest.mark.parametrize("info", ["repl", "python", "py", "Python", "python title=x"])
def test_fence_of_a_known_language_is_code(info: str) -> None:
    assert parse_reply(f"Look:\n```{info}\nx = 1\n```\nDone.").blocks == ("x = 1\n",)


@pytest.mark.parametrize("info", ["", "json", "text", "bash", "python-console", "pycon"])
def test_fence_of_another_language_is_not_code(info: str) -> None:
    assert parse_reply(f"Look:\n```{info}\nx = 1\n```\nDone.").blocks == ()


def test_final_inside_code_is_left_to_the_code() -> None:
    reply = parse_reply("```repl\nFINAL(x)\n```")
    assert reply.blocks == ("FINAL(x)\n",)
    assert reply.final is None


def test_code_and_final_in_one_reply_are_both_kept() -> None:
    reply = parse_reply("```repl\nx = 1\n```\nFINAL_VAR(x)")
    assert reply.blocks == ("x = 1\n",)
    assert reply.final == FinalVariable("x")


@pytest.mark.parametrize(
    "code",
    [
        's = """\n```\n"""\nprint(s)\n',
        "s = '''\n```python\n```\n'''\n",
        's = f"""{x}\n```\n"""\n',
        "a = \"'''\"  # no string opens here\n",
        '# it\'s """ a comment\nx = 1\n',
        's = "\\""\nt = """\n```\n"""\n',
    ],
)
def test_fence_inside_a_string_does_not_end_the_code(code: str) -> None:
    reply = parse_reply(f"```repl\n{code}```\nFINAL(after)")
    assert reply.blocks == (code,)
    assert reply.final == FinalText("after")


def test_string_that_never_closes_ends_at_the_first_fence() -> None:
    reply = parse_reply('```repl\ns = """\n```\nFINAL(after)')
    assert reply.blocks == ('s = """\n',)
    assert reply.final == FinalText("after")


def test_crlf_and_indented_fences_are_read() -> None:
    reply = parse_reply(
        "1. First\r\n   ```python\r\n   if x:\r\n       y = 1\r\n   ```\r\n2. FINAL(no)\r\nFINAL(yes)\r\n"
    )
    assert reply.blocks == ("if x:\n    y = 1\n",)
    assert reply.final == FinalText("yes")


def test_reply_that_was_cut_off_keeps_its_code() -> None:
    assert parse_reply("```repl\nx = 1\ny = ").blocks == ("x = 1\ny = ",)


def test_stray_fence_does_not_swallow_the_code_after_it() -> None:
    assert parse_reply("```\nHere is the code:\n```repl\nx = 1\n```").blocks == ("x = 1\n",)


def test_longer_fence_holds_a_shorter_one() -> None:
    assert parse_reply("````python\nx = 1\n```\ny = 2\n````").blocks == ("x = 1\n```\ny = 2\n",)


def test_several_blocks_keep_their_order() -> None:
    assert parse_reply("```repl\na = 1\n```\nthen\n~~~py\nb = 2\n~~~").blocks == ("a = 1\n", "b = 2\n")


def test_empty_code_block_is_no_code() -> None:
    assert parse_reply("```repl\n\n```").blocks == ()


def test_reasoning_does_not_join_the_transcript() -> None:
    reply = parse_reply("<think>secret plan\n```repl\nbad()\n```\n</think>\nNow:\n```repl\nx = 1\n```")
    assert "secret" not in reply.text
    assert reply.blocks == ("x = 1\n",)


def test_think_tags_inside_code_stay() -> None:
    code = 'parts = text.split("<think>")\nrest = text.split("</think>")\n'
    assert parse_reply(f"```repl\n{code}```").blocks == (code,)


@pytest.mark.parametrize(
    "text", ["FINAL(\n" * 20_000, "```\n" * 20_000, "<think>\n" * 20_000, "FINAL('" + "a" * 100_000]
)
def test_hostile_reply_is_read_in_linear_time(text: str) -> None:
    assert parse_reply(text).final is None
