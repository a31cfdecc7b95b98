"""Reads the uploaded files that a request names, as text for the context of its run.

Called by `bodies.py`. Files are UTF-8 text: what needs more than a decoder (PDF, archives) is refused, not guessed.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass

from runtime.inference.errors import InvalidRequestError, TooLargeError
from runtime.inference.peers.shelf import CallersShelf
from runtime.inference.question import ContentKey, Context, Document, DocumentsContext, JsonContext, TextContext


@dataclass(frozen=True)
class Attached:
    """Both by id; a digest is that of the file's bytes."""

    documents: dict[str, Document]
    digests: dict[str, str]

    def identify(self, owner: str, context: Context) -> ContentKey | None:
        """What tells this context from others of the owner; None when there is more in it than these files."""
        match context:
            case TextContext(text):
                texts = {id(document["text"]): self.digests[file_id] for file_id, document in self.documents.items()}
                digest = texts.get(id(text))
                return None if digest is None else ContentKey(owner, digest)
            case DocumentsContext(documents):
                known = {id(document): self.digests[file_id] for file_id, document in self.documents.items()}
                parts = [(document["path"], known.get(id(document))) for document in documents]
                if not parts or any(digest is None for _, digest in parts):
                    return None
                return ContentKey(owner, hashlib.sha256(repr(parts).encode()).hexdigest())
            case JsonContext():
                return None


async def read_attachments(files: CallersShelf, file_ids: list[str], limit: int) -> Attached:
    """Raises FileNotFoundHereError, InvalidRequestError for what is no text, TooLargeError above `limit` bytes
    together."""
    stored = [await files.find(file_id) for file_id in dict.fromkeys(file_ids)]
    if sum(each.bytes for each in stored) > limit:
        raise TooLargeError(
            f"the files are larger than {limit:,} bytes together; name fewer, or raise RLM_MAX_BODY_BYTES"
        )
    found: dict[str, Document] = {}
    for each in stored:
        if (text := files.texts.get(each.id)) is None:
            text = await _read_text(files, each.id)
            files.texts.keep(each.id, text)
        found[each.id] = Document(path=each.filename, text=text)
    return Attached(found, {each.id: each.sha256 for each in stored})


async def _read_text(files: CallersShelf, file_id: str) -> str:
    content = bytearray()
    async for chunk in files.content(file_id):
        content += chunk
    try:
        return await asyncio.to_thread(content.decode, "utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRequestError(
            f"the file {file_id} is not UTF-8 text (byte {error.start:,}); upload its text", "file_id"
        ) from error
