"""The code that the stand-in writes as the root model: what runs in the sandbox on the real `context`.

Texts only, put together by `root.py`: the question's values as assignments, then one of these. Each is written for a
reader, since the command line shows it. `documents` is a list of (path, text) after LOOK; the last step of every plan
leaves the answer in `result` and prints it after RESULT_MARK.
"""

from __future__ import annotations

from typing import Final

RESULT_MARK: Final = "result:"

DOCUMENTS: Final = """\
import json

if isinstance(context, str):
    documents = [("context", context)]
elif isinstance(context, dict):
    documents = [(str(key), value if isinstance(value, str) else json.dumps(value)) for key, value in context.items()]
else:
    documents = []
    for number, item in enumerate(context if isinstance(context, list) else [context], 1):
        if isinstance(item, dict) and isinstance(item.get("text"), str):
            documents.append((str(item.get("path", f"item {number}")), item["text"]))
        else:
            documents.append((f"item {number}", item if isinstance(item, str) else json.dumps(item)))

"""

SHAPE: Final = """\
def lines_of(text):
    \"\"\"One at a time, since a list of all would need several times the memory.\"\"\"
    start = 0
    while start < len(text):
        end = text.find("\\n", start)
        end = len(text) if end < 0 else end
        yield text[start:end]
        start = end + 1

size = sum(len(text) for _, text in documents)
print(f"{type(context).__name__}: {len(documents)} documents, {size} characters")
for path, text in documents[:5]:
    print(f"  {path}: {len(text)} characters, begins {text[:60]!r}")
"""

LOOK: Final = DOCUMENTS + SHAPE

_REPORT: Final = f"""
print("{RESULT_MARK}", result[:2000])
"""

NEEDLE: Final = (
    """\
import re

def spaced(words):
    return r"\\s+".join(map(re.escape, words.split()))

value = r"-?\\d[\\d,]*(?:\\.\\d+)?" if label.endswith("number") else r"[\\w@+/-]+(?:[.:][\\w@+/-]+)*"
quote = r"[\\"'`*]*"
named = rf"(?<!\\w){quote}{spaced(name)}(?!\\w){quote}"
link = r"(?:\\s*(?:\\bis\\b|\\bare\\b|\\bwas\\b|[:=]|->))+\\s*"
patterns = [
    rf"{spaced(label)}s?\\s+(?:for|of)\\s+{named}{link}{quote}({value})",
    rf"{named}(?:['\\u2019]s)?\\s+{spaced(label)}{link}{quote}({value})",
]
found = {}
for path, text in documents:
    for pattern in patterns:
        for match in re.finditer(pattern, text, re.IGNORECASE):
            print(f"{path}, character {match.start()}: {text[match.start():match.end() + 20]!r}")
            found.setdefault(match[1].rstrip(","), path)
result = ", ".join(found) or f"The context gives no {label} for {name}."
"""
    + _REPORT
)

_MATCHER: Final = """\
import re

pattern = re.escape(sought)
if whole_word:
    pattern = rf"(?<!\\w){pattern}(?!\\w)"
pattern = {"anywhere": pattern, "start": rf"^{pattern}", "end": rf"{pattern}$"}[anchor]
wanted = re.compile(pattern, re.IGNORECASE if ignore_case else 0)
"""

COUNT_MATCHES: Final = (
    _MATCHER
    + """\
if unit == "files":
    count = sum(bool(wanted.search(text)) != negated for _, text in documents)
elif unit == "lines":
    count = sum(bool(wanted.search(line)) != negated for _, text in documents for line in lines_of(text))
else:
    count = sum(1 for _, text in documents for _ in wanted.finditer(text))
result = str(count)
"""
    + _REPORT
)

_MEASURE: Final = """\
import re

def measure(text):
    if unit == "lines":
        return text.count("\\n") + (text != "" and not text.endswith("\\n"))
    return sum(1 for _ in re.finditer(r"\\S+", text)) if unit == "words" else len(text)

"""

COUNT_ALL: Final = (
    _MEASURE
    + """\
result = str(len(documents) if unit == "files" else sum(measure(text) for _, text in documents))
"""
    + _REPORT
)

_RANKING: Final = """\
ranking = sorted(((measure(text), path) for path, text in documents), key=lambda pair: (-pair[0], pair[1]))
result = "\\n".join(f"{path}: {count} {what}" for count, path in ranking[:top] if count) or f"No file has {what}."
"""

RANK_BY_SIZE: Final = _MEASURE + _RANKING + _REPORT

RANK_BY_MATCHES: Final = (
    _MATCHER
    + """\

def measure(text):
    if unit == "lines":
        return sum(1 for line in lines_of(text) if wanted.search(line))
    return sum(1 for _ in wanted.finditer(text))

"""
    + _RANKING
    + _REPORT
)

COMMON_PARTS: Final = (
    """\
import re
from collections import Counter

word = re.compile(r"[^\\W\\d_]+(?:['\\u2019][^\\W\\d_]+)*")
parts = Counter()
for _, text in documents:
    for line in lines_of(text):
        if part == "words":
            parts.update(word.findall(line.lower()))
        elif line.strip():
            parts[line] += 1
ranking = sorted(parts.items(), key=lambda pair: (-pair[1], pair[0]))
result = "\\n".join(f"{name}: {count}" for name, count in ranking[:top]) or f"The context has no {part}."
"""
    + _REPORT
)

LONGEST_PARTS: Final = (
    """\
import heapq
import re

def parts_of(text):
    return lines_of(text) if part == "lines" else {match[0] for match in re.finditer(r"\\S+", text)}

parts = ((path, found) for path, text in documents for found in parts_of(text))
ranking = heapq.nsmallest(top, parts, key=lambda pair: (-len(pair[1]), pair))
result = "\\n".join(f"{path} ({len(found)} characters): {found}" for path, found in ranking)
result = result or f"The context has no {part}."
"""
    + _REPORT
)

CUT_FILES: Final = """\
PIECE = 100_000  # characters that go into one prompt

def cut(text):
    \"\"\"Pieces of at most PIECE characters, each cut at the widest gap there is.\"\"\"
    while len(text) > PIECE:
        gaps = (text.rfind(gap, PIECE // 2, PIECE) + len(gap) for gap in ("\\n\\n\\n", "\\n\\n", "\\n", " "))
        at = next((gap for gap in gaps if gap > PIECE // 2), PIECE)
        yield text[:at]
        text = text[at:]
    yield text

groups, room = [], 0
for number, (path, text) in enumerate(documents):
    for piece in cut(text):
        if len(piece) > room:
            groups.append([])
            room = PIECE
        groups[-1].append(f"<<<FILE {number} {path}>>>\\n{piece}")
        room -= len(piece)
prompts = [task + "\\n\\n" + "\\n".join(group) for group in groups]
"""

CUT_LINES: Final = """\
lines = [line for _, text in documents for line in lines_of(text) if line.strip()]
prompts = []
for start in range(0, len(lines), 100):
    numbered = [f"{start + offset}: {line[:2000]}" for offset, line in enumerate(lines[start : start + 100])]
    prompts.append(task + "\\n\\n" + "\\n".join(numbered))
"""

TRY_ONE: Final = """\
print(len(prompts), "prompts; the reply to the first begins:")
print(llm_query(prompts[0])[:300] if prompts else "nothing to ask")
"""

ASK_ALL: Final = """\
import re

def ask(batch):
    \"\"\"Replies in order; a failed slot gets one more try.\"\"\"
    replies = llm_query_batched(batch)
    failed = [slot for slot, reply in enumerate(replies) if reply.startswith("Error: ")]
    for slot, reply in zip(failed, llm_query_batched([batch[slot] for slot in failed])):
        replies[slot] = reply
    return replies

replies = []
for start in range(0, len(prompts), 16):
    replies += ask(prompts[start : start + 16])
unread = [reply for reply in replies if not re.search(r"^\\d+: ", reply, re.MULTILINE)]
note = f" ({len(unread)} of {len(prompts)} pieces could not be read: {unread[0][:100]})" if unread else ""
"""

TALLY: Final = (
    """\
counts = [0] * len(documents)
for reply in replies:
    for number, count in re.findall(r"^(\\d+): (\\d+)$", reply, re.MULTILINE):
        if int(number) < len(counts):
            counts[int(number)] += int(count)
total, best = sum(counts), max(counts, default=0)
first = [path for (path, _), count in zip(documents, counts) if count == best]
result = f"{total} {things} {verb}{note}."
if best and len(documents) > 1:
    result += f" Most of them in one file: {', '.join(first[:5])} ({best})."
if per_file:
    result += "".join(f"\\n{path}: {count}" for (path, _), count in zip(documents, counts))
"""
    + _REPORT
)

CLASSIFY: Final = (
    """\
from collections import Counter

labelled = dict(pair for reply in replies for pair in re.findall(r"^(\\d+): (.+)$", reply, re.MULTILINE))
tally = Counter(labelled.values())
ranking = sorted(tally.items(), key=lambda pair: (-pair[1], pair[0]))
result = ", ".join(f"{label}: {count}" for label, count in ranking) + note
"""
    + _REPORT
)

PAIR_USERS: Final = (
    """\
from itertools import combinations

labelled = [pair for reply in replies for pair in re.findall(r"^(\\d+): (.+)$", reply, re.MULTILINE)]
user_of = re.compile(r"\\|\\|\\s*user:?\\s*(\\w+)\\s*\\|\\|", re.IGNORECASE)
users = {match[1] for number, said in labelled if said == label and (match := user_of.search(lines[int(number)]))}
ordered = sorted(users, key=lambda user: (len(user), user))
result = "\\n".join(f"({one}, {other})" for one, other in combinations(ordered, 2)) or "There are no such pairs."
result += note
"""
    + _REPORT
)
