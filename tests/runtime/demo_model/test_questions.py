"""Which task each question form is read as."""

from __future__ import annotations

import pytest

from runtime.inference.demo_model.countables import COUNTABLES
from runtime.inference.demo_model.questions import (
    Classify,
    Count,
    Needle,
    PairUsers,
    RankFiles,
    RankParts,
    Sought,
    Tally,
    Task,
)
from runtime.inference.demo_model.recognisers import parse_question


@pytest.mark.parametrize(
    ("question", "task"),
    [
        ("What is the magic number for amber-fox?", Needle("magic number", "amber-fox")),
        ("what are all the special magic numbers for x mentioned in the provided text?", Needle("magic number", "x")),
        ('What is the access code for "Blue Door"?', Needle("access code", "Blue Door")),
        ("How many lines contain 'import os'?", Count("lines", Sought("import os"))),
        ("How many files contain TODO?", Count("files", Sought("TODO"))),
        ("How many lines mention error, ignoring case?", Count("lines", Sought("error", ignore_case=True))),
        ('How many lines contain the word "cat" in the files?', Count("lines", Sought("cat", whole_word=True))),
        ("How many lines do not contain `x`?", Count("lines", Sought("x"), negated=True)),
        ('How many of the lines start with "class "?', Count("lines", Sought("class ", anchor="start"))),
        ("How many files end with END?", Count("files", Sought("END", anchor="end"))),
        ("How many times does spam occur?", Count("times", Sought("spam"))),
        ("Across all files, how often is `x` used?", Count("times", Sought("x"))),
        ("How many lines are there?", Count("lines")),
        ("In the whole corpus, how many lines are there in total?", Count("lines")),
        ("What is the total number of words in the context?", Count("words")),
        ("How many files are there in total?", Count("files")),
        ("How many words does the context have?", Count("words")),
        ("Which file has the most lines?", RankFiles("lines")),
        ("Which three files have the most words?", RankFiles("words", 3)),
        ("Which file is the largest?", RankFiles("characters")),
        ("Which 5 files mention socket most often?", RankFiles("times", 5, Sought("socket"))),
        ("Which file has the most lines containing `yield`?", RankFiles("lines", 1, Sought("yield"))),
        ("What are the 10 most common words?", RankParts("words", "frequency", 10)),
        ("What is the most common word in the text?", RankParts("words", "frequency", 1)),
        ("Which are the three most frequent lines?", RankParts("lines", "frequency", 3)),
        ("What is the longest line?", RankParts("lines", "length", 1)),
        (
            "Across all files, how many classes are defined, and which file defines the most?",
            Tally(COUNTABLES["classes"]),
        ),
        ("For each file, how many links are there?", Tally(COUNTABLES["links"], per_file=True)),
        ("Which file has the most functions?", Tally(COUNTABLES["functions"])),
        ("How many email addresses are there in the logs?", Tally(COUNTABLES["email addresses"])),
        ("Count the imports in each file.", Tally(COUNTABLES["import statements"], per_file=True)),
        (
            "List all pairs of users who both have a line that is good, of the labels good, bad or odd.",
            PairUsers("good", ("good", "bad", "odd")),
        ),
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
    [
        "",
        "Why?",
        "How many lines contain the words " + "of the " * 10_000,
        "Summarise the argument of the third chapter.",
        "What is the total number of apples?",
        "How many lines are there in setup.py?",
        "How many lines are longer than 80 characters?",
        "How many files have more than 100 lines?",
        'How many lines contain "a" and "b"?',
        "How many lines contain neither a nor b but c?",
        'How many lines contain "a" in the file setup.py?',
        "How many classes inherit from Base?",
        "How many classes are defined in setup.py?",
        "Which file has the most classes without a docstring?",
        'Which file mentions "a" and "b" most often?',
        "What are the most common words of more than five letters?",
    ],
)
def test_other_question_or_condition_is_no_task(question: str) -> None:
    assert parse_question(question) is None
