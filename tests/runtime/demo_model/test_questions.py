"""Which task each question form is read as."""

from __future__ import annotations

import pytest

from runtime.inference.demo_model.countables import COUNTABLES
from runtime.inference.demo_model.questions import (
    Classify,
    CommonWords,
    Count,
    Needle,
    Rank,
    Tally,
    Task,
    parse_question,
)


@pytest.mark.parametrize(
    ("question", "task"),
    [
        ("What is the magic number for amber-fox?", Needle("magic number", "amber-fox")),
        ("what are all the special magic numbers for x mentioned in the provided text?", Needle("magic number", "x")),
        ('What is the access code for "Blue Door"?', Needle("access code", "Blue Door")),
        ("How many lines contain 'import os'?", Count("lines", "import os")),
        ("How many files contain TODO?", Count("files", "TODO")),
        ("How many lines mention error, ignoring case?", Count("lines", "error", ignore_case=True)),
        ('How many lines contain the word "cat" in the files?', Count("lines", "cat", whole_word=True)),
        ("How many times does spam occur?", Count("times", "spam")),
        ("How many lines are there?", Count("lines")),
        ("How many files are there in total?", Count("files")),
        ("How many words does the context have?", Count("words")),
        ("Which file has the most lines?", Rank("lines", 1)),
        ("Which three files have the most words?", Rank("words", 3)),
        ("Which file is the largest?", Rank("characters", 1)),
        ("Which 5 files mention socket most often?", Rank("times", 5, "socket")),
        ("Which file has the most lines containing `yield`?", Rank("lines", 1, "yield")),
        ("What are the 10 most common words?", CommonWords(10)),
        ("What is the most common word?", CommonWords(1)),
        (
            "Across all files, how many classes are defined, and which file defines the most?",
            Tally(COUNTABLES["classes"]),
        ),
        ("For each file, how many links are there?", Tally(COUNTABLES["links"], per_file=True)),
        ("Which file has the most functions?", Tally(COUNTABLES["functions"])),
        (
            "Classify each line as positive, negative or neutral, and count each.",
            Classify("lines", ("positive", "negative", "neutral")),
        ),
        ("Classify every file into sport, politics, and science.", Classify("files", ("sport", "politics", "science"))),
    ],
)
def test_known_form_is_recognised(question: str, task: Task) -> None:
    assert parse_question(question) == task


@pytest.mark.parametrize(
    "question",
    ["", "Summarise the argument of the third chapter.", "What is the total number of apples?", "Why?"],
)
def test_other_question_is_no_task(question: str) -> None:
    assert parse_question(question) is None
