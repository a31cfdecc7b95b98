"""Reads the uploaded files that a request names, as text for the context of its run.

Called by `bodies.py`. Files are UTF-8 text: what needs more than a decoder (PDF, archives) is refused, not guessed.
"""

from __future__ import annotations

import asyncio

from runtime.inference.errors import InvalidRequestError, TooLargeError
from runtime.inference.file_store import FileStore
from runtime.inference.question import Document


async def read_attachments(files: FileStore, owner: str, file_ids: list[str], limit: int) -> dict[str, Document]:
    """By id. Raises FileNotFoundHereError, InvalidRequestError for what is no text, TooLargeError above `limit` bytes
    together."""
    stored = [await files.find(owner, file_id) for file_id in dict.fromkeys(file_ids)]
    if sum(each.bytes for each in stored) > limit:
        raise TooLargeError(
            f"the files are larger than {limit:,} bytes together; name fewer, or raise RLM_MAX_BODY_BYTES"
        )
    found: dict[str, Document] = {}
    for each in stored:
        content = bytearray()
        async for chunk in files.content(owner, each.id):
            content += chunk
        try:
            text = await asyncio.to_thread(content.decode, "utf-8-sig")
        except UnicodeDecodeError as error:
            raise InvalidRequestError(
                f"the file {each.id} is not UTF-8 text (byte {error.start:,}); upload its text", "file_id"
            ) from error
        found[each.id] = Document(path=each.filename, text=text)
    return found
