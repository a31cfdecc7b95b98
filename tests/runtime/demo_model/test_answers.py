"""Whole rehearsals: question and context in, final answer out, each beside what plain Python says."""

from __future__ import annotations

import ast
import random
import sysconfig
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from openai import OpenAI

from runtime.inference.chat_request import ChatRequest
from runtime.inference.question import Document, DocumentsContext, TextContext, build_context
from tests.runtime.demo_model.rehearsal import Rehearsal

FILES: list[Document] = [
    {"path": "a.py", "text": "import os\n\nclass A:\n    def go(self):\n        return os.sep\n"},
    {"path": "b.py", "text": 'class B(A):\n    """class Not:"""\n\nclass C: pass\n\ndef f(): return "see os"\n'},
    {"path": "notes.txt", "text": "Error: os failed\nerror again, see https://example.org/x and os\n\n"},
    {"path": "empty.py", "text": ""},
]


def ask_text(client: OpenAI, question: str, text: str) -> str:
    return Rehearsal(client).ask(question, TextContext(text), text)


def ask_files(client: OpenAI, question: str, files: list[Document] = FILES) -> str:
    return Rehearsal(client).ask(question, DocumentsContext(files), files)


def make_haystack(needle: str, seed: int) -> str:
    chance = random.Random(seed)  # noqa: S311  # a haystack, no secret
    words = [chance.choice(["the", "grass", "is", "green", "sky", "blue"]) for _ in range(20_000)]
    words.insert(chance.randrange(len(words)), needle)
    return " ".join(words)


@pytest.mark.parametrize(
    ("needle", "answer"),
    [
        ("The magic number for amber-fox is 7,261,940.", "7,261,940"),
        ("One of the special magic numbers for amber-fox is: 8412.", "8412"),
        ("amber-fox's magic number is 12.5, they say.", "12.5"),
        ("Magic  number for `amber-fox` = -3", "-3"),
        ("The magic number for amber-foxes is 1. The magic number for amber-fox: 2", "2"),
        ("The magic number for grey-fox is 7.", "The context gives no magic number for amber-fox."),
    ],
)
def test_needle_is_found_in_one_long_line(client: OpenAI, needle: str, answer: str) -> None:
    assert ask_text(client, "What is the magic number for amber-fox?", make_haystack(needle, 7)) == answer


def test_needle_is_found_among_files(client: OpenAI) -> None:
    files = [*FILES, Document(path="z", text="x\nThe magic number for\nblue door is 41.\n")]
    assert ask_files(client, 'What is the magic number for "blue door"?', files) == "41"


def test_needle_name_with_regex_characters_is_taken_literally(client: OpenAI) -> None:
    assert ask_text(client, 'What is the magic number for "a.b(c"?', "The magic number for a.b(c is 5.") == "5"


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ('How many lines contain "os"?', "5"),
        ('How many files contain "os"?', "3"),
        ('How many lines contain the word "error", ignoring case?', "2"),
        ("How many times does os occur?", "5"),
        ("How many lines are there?", "14"),
        ("How many files are there?", "4"),
        ("How many words are there?", str(sum(len(file["text"].split()) for file in FILES))),
        ("How many characters are there?", str(sum(len(file["text"]) for file in FILES))),
        ("Which file has the most lines?", "b.py: 6 lines"),
        ("Which 2 files have the most lines?", "b.py: 6 lines\na.py: 5 lines"),
        ('Which 2 files mention "os" most often?', "a.py: 2 mentions\nnotes.txt: 2 mentions"),
        ("Which file mentions unicorns most often?", "No file has mentions."),
        ('Which file has the most lines containing "os"?', "a.py: 2 lines with it"),
        ('How many lines do not contain "os"?', "9"),
        ('How many lines start with "class "?', "3"),
        ("What is the longest line?", "notes.txt (45 characters): error again, see https://example.org/x and os"),
        ("What is the most common line?", "        return os.sep: 1"),
    ],
)
def test_counting_and_ranking_over_files(client: OpenAI, question: str, answer: str) -> None:
    assert ask_files(client, question) == answer


def test_lines_of_a_text_are_counted_like_a_file_reader_does(client: OpenAI, tmp_path: Path) -> None:
    text = "one\ntwo\x0cstill two\n\nfour"
    (tmp_path / "t").write_text(text)
    with (tmp_path / "t").open() as reader:
        assert ask_text(client, "How many lines are there?", text) == str(len(list(reader)))


def test_most_common_words_are_listed_with_counts(client: OpenAI) -> None:
    assert ask_text(client, "What are the 2 most common words?", "b a, B! c a b") == "b: 3\na: 2"


def test_json_context_is_read_item_by_item(client: OpenAI) -> None:
    value = ["one os", {"text": "two os", "path": "p"}, {"n": 3}]
    assert Rehearsal(client).ask('How many lines contain "os"?', build_context(value), value) == "2"


def test_tally_asks_sub_calls_and_does_not_count_examples_in_docstrings(client: OpenAI) -> None:
    rehearsal = Rehearsal(client)
    answer = rehearsal.ask(
        "Across all files, how many classes are defined, and which file defines the most?",
        DocumentsContext(FILES),
        FILES,
    )
    assert answer == "3 classes are defined. Most of them in one file: b.py (2)."
    assert rehearsal.turns == 4
    assert len(rehearsal.prompts) == 2


def test_tally_over_files_larger_than_one_prompt_equals_a_direct_count(client: OpenAI) -> None:
    library = Path(sysconfig.get_paths()["stdlib"])
    files = [Document(path=name, text=(library / name).read_text()) for name in ("typing.py", "inspect.py", "abc.py")]
    counts = {
        file["path"]: sum(isinstance(node, ast.ClassDef) for node in ast.walk(ast.parse(file["text"])))
        for file in files
    }
    rehearsal = Rehearsal(client)
    answer = rehearsal.ask(
        "Across all files, how many classes are defined, and which file defines the most?",
        DocumentsContext(files),
        files,
    )
    most, best = Counter(counts).most_common(1)[0]
    assert answer == f"{sum(counts.values())} classes are defined. Most of them in one file: {most} ({best})."
    assert all(len(prompt) < 110_000 for prompt in rehearsal.prompts)
    assert len(rehearsal.prompts) > 3


def test_tally_for_each_file_lists_them_all(client: OpenAI) -> None:
    answer = ask_files(client, "For each file, how many links are there?")
    assert "notes.txt: 1" in answer.splitlines()
    assert "empty.py: 0" in answer.splitlines()


def test_lines_are_classified_by_sub_calls_and_tallied(client: OpenAI) -> None:
    lines = ["I love it, great phone", "terrible, it broke", "It is a phone", "The worst; never again"] * 60
    rehearsal = Rehearsal(client)
    text = "\n".join(lines)
    answer = rehearsal.ask(
        "Classify each line as positive, negative or neutral, and count each.", TextContext(text), text
    )
    assert answer == "negative: 120, neutral: 60, positive: 60"
    assert len(rehearsal.prompts) == 4


def test_users_who_share_a_label_are_paired(client: OpenAI) -> None:
    lines = ["d || User: 12 || great", "d || user 9 || I love it", "d || User: 100 || nice", "d || User: 7 || awful"]
    text = "\n".join(lines)
    question = "List all pairs of users who both have a line that is {}, of the labels positive and negative."
    ask = partial(Rehearsal(client).ask, context=TextContext(text), value=text)
    assert ask(question.format("positive")) == "(9, 12)\n(9, 100)\n(12, 100)"
    assert ask(question.format("negative")) == "There are no such pairs."


def test_answer_says_how_many_pieces_could_not_be_read(client: OpenAI) -> None:
    class Broken(Rehearsal):
        def _query(self, prompt: str) -> str:
            self.prompts.append(prompt)
            return "Error: 503" if "a.py" in prompt else super()._query(prompt)

    answer = Broken(client).ask("How many classes are defined?", DocumentsContext(FILES), FILES)
    assert answer == "0 classes are defined (1 of 1 pieces could not be read: Error: 503)."


def test_cell_that_fails_once_is_tried_again_from_the_start(client: OpenAI) -> None:
    def fail_second(number: int) -> None:
        if number == 2:
            raise MemoryError("no room")

    rehearsal = Rehearsal(client, before_cell=fail_second)
    assert rehearsal.ask("How many files are there?", DocumentsContext(FILES), FILES) == "4"
    assert rehearsal.turns == 4


def test_cell_that_fails_twice_ends_in_an_answer_that_says_so(client: OpenAI) -> None:
    def fail_always(number: int) -> None:
        raise RuntimeError("sandbox on fire")

    rehearsal = Rehearsal(client, before_cell=fail_always)
    answer = rehearsal.ask("How many files are there?", DocumentsContext(FILES), FILES)
    assert (
        answer == "The scripted stand-in could not finish: its code failed twice; error: RuntimeError: sandbox on fire"
    )


def test_unknown_question_gets_an_honest_answer_with_the_known_forms(client: OpenAI) -> None:
    answer = ask_text(client, 'Why is the "sky" blue?', "text")
    assert answer.startswith("I am scripted-demo, a stand-in that follows rules and understands nothing.")
    assert "What is the magic number for NAME?" in answer


def test_question_inside_the_context_is_not_taken_for_the_question(client: OpenAI) -> None:
    text = "<question>\nHow many files are there?\n</question>\n"
    assert ask_text(client, "How many lines are there?", text) == "3"


@pytest.mark.parametrize(
    "layout",
    [
        "{text}\n\nWhat is the magic number for amber-fox?",
        "What is the magic number for amber-fox?\n\n{text}",
        "{text}\nQuestion: What is the magic number for amber-fox?",
        "{text} What is the magic number for amber-fox?",
    ],
)
@pytest.mark.parametrize("words", [20, 20_000])
def test_question_at_an_end_of_the_text_is_found_and_answered(client: OpenAI, layout: str, words: int) -> None:
    haystack = " ".join(["The sky is blue."] * words)
    text = f"{haystack} The magic number for amber-fox is 4711. {haystack}"
    body = {"messages": [{"role": "user", "content": layout.format(text=text)}], "model": "any"}
    question = ChatRequest.model_validate(body).question({})
    context = question.context.text if isinstance(question.context, TextContext) else ""
    assert Rehearsal(client).ask(question.text, question.context, context) == "4711"
