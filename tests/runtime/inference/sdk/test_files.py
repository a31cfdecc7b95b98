"""Files and models with each SDK."""

from __future__ import annotations

import pytest

from tests.runtime.inference.sdk.clients import Sdk, SdkError, Target
from tests.runtime.inference.service import SERVED_MODEL


async def test_file_is_uploaded_found_listed_read_and_deleted(sdk: Sdk, target: Target) -> None:
    first = await sdk.upload(target, "one.txt", "first")
    second = await sdk.upload(target, "two.txt", "zweite Zeile: grün")
    assert (first["object"], first["filename"], first["bytes"], first["purpose"]) == ("file", "one.txt", 5, "user_data")
    assert await sdk.run(target, "file", {"id": first["id"]}) == first
    assert await sdk.files(target, order="asc") == sorted([first["id"], second["id"]])
    assert await sdk.files(target, limit=1) == sorted([first["id"], second["id"]], reverse=True)  # over two pages
    assert await sdk.run(target, "fileContent", {"id": second["id"]}) == "zweite Zeile: grün"
    assert (await sdk.run(target, "deleteFile", {"id": first["id"]}))["deleted"] is True
    assert await sdk.files(target) == [second["id"]]
    for command in ("file", "fileContent", "deleteFile"):
        with pytest.raises(SdkError) as gone:
            await sdk.run(target, command, {"id": first["id"]})
        assert (gone.value.kind, gone.value.code) == ("NotFoundError", "file_not_found")


async def test_models_are_listed_and_found(sdk: Sdk, target: Target) -> None:
    assert await sdk.run(target, "models", {}) == [SERVED_MODEL]
    found = await sdk.run(target, "model", {"id": SERVED_MODEL})
    assert (found["id"], found["object"]) == (SERVED_MODEL, "model")
