"""A folder of ten thousand documents as context."""

from __future__ import annotations

from tests.runtime.inference.service import Service
from tests.runtime.inference.suites.asking import Expected, ask
from tests.runtime.inference.suites.folder import MARK, build_folder


async def test_ten_thousand_documents_are_searched_one_by_one(service: Service) -> None:
    folder = build_folder(10_000, seed=3)
    question = f'How many files contain the word "{MARK}"?'
    done = await ask(service, question, {"documents": folder.documents}, Expected(iterations=3))
    assert done.answer == str(folder.marked)
