"""/v1/files: upload once, ask many times by `file_id`. Paths and replies are OpenAI's."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from aiohttp import BodyPartReader, web
from pydantic import BaseModel, ConfigDict, Field

from runtime.inference.encodings import check_ratio
from runtime.inference.envelope import KEY_NAME
from runtime.inference.errors import InvalidRequestError, StorageUnavailableError, TooLargeError
from runtime.inference.file_store import FileStore, StoredFile
from runtime.inference.intake import INTAKE
from runtime.inference.list_page import Listed, ListPage
from runtime.inference.peers.pages import Pages
from runtime.inference.queries import parse_query
from runtime.inference.storage import CHUNK_BYTES, storage_of

_FIELD_BYTES: Final = 1024
_NAME_CHARACTERS: Final = 255
_PURPOSE_CHARACTERS: Final = 64


class ListQuery(BaseModel):
    model_config = ConfigDict(extra="ignore")

    limit: int = Field(default=100, ge=1, le=10_000)
    order: Literal["asc", "desc"] = "desc"
    after: str | None = None
    purpose: str | None = None


class FileReply(Listed):
    """OpenAI's file object; `sha256` is ours."""

    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    expires_at: int
    filename: str
    purpose: str
    status: Literal["processed"] = "processed"
    sha256: str


@dataclass
class _Upload:
    spooled: Path
    size: int = 0  # bytes in `spooled` so far
    filename: str = ""
    purpose: str = ""


class FilesApi:
    def __init__(self, files: FileStore, pages: Pages, max_file_bytes: int) -> None:
        self._files = files
        self._pages = pages
        self._max_file_bytes = max_file_bytes
        self._spooled = 0  # bytes of the uploads in progress, together at most one file of the largest size

    async def post_files(self, request: web.Request) -> web.Response:
        """multipart/form-data with `file` and `purpose`."""
        with tempfile.TemporaryDirectory(prefix="rlm-upload-") as folder:
            upload = _Upload(Path(folder) / "content")
            try:
                await self._receive(request, upload)
                stored = await self._files.add(
                    request[KEY_NAME], upload.filename, upload.purpose, upload.spooled, upload.size
                )
            finally:
                self._spooled -= upload.size
        return web.json_response(text=_reply(stored).model_dump_json())

    async def get_files(self, request: web.Request) -> web.Response:
        query = parse_query(request, ListQuery)
        newest_first = query.order == "desc"
        own = await self._page(request[KEY_NAME], query)
        gathered = await self._pages.gather(request, own, ListPage[FileReply], query.limit, newest_first=newest_first)
        page = gathered.page
        return web.json_response(
            {
                "object": "list",
                "data": [each.model_dump() for each in page.data],
                "first_id": page.data[0].id if page.data else None,
                "last_id": page.data[-1].id if page.data else None,
                "has_more": page.has_more,
                **gathered.note,
            }
        )

    async def _page(self, owner: str, query: ListQuery) -> ListPage[FileReply]:
        """`after` marks a place in time: it may be another replica's, or gone."""
        ids = await self._files.ids(owner)
        after = query.after
        if after is not None and storage_of(after) is None:
            ids = []
        elif after is not None:
            ids = [file_id for file_id in ids if (file_id > after if query.order == "asc" else file_id < after)]
        if query.order == "desc":
            ids.reverse()
        page: list[FileReply] = []
        left = iter(ids)
        for file_id in left:
            stored = await self._files.find(owner, file_id)
            if query.purpose in {None, stored.purpose}:
                page.append(_reply(stored))
            if len(page) == query.limit:
                break
        return ListPage(data=page, has_more=next(left, None) is not None)

    async def get_file(self, request: web.Request) -> web.Response:
        stored = await self._files.find(request[KEY_NAME], request.match_info["id"])
        return web.json_response(text=_reply(stored).model_dump_json())

    async def get_file_content(self, request: web.Request) -> web.StreamResponse:
        stored = await self._files.find(request[KEY_NAME], request.match_info["id"])
        response = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
        response.content_length = stored.bytes
        async for chunk in self._files.content(request[KEY_NAME], stored.id):
            if not response.prepared:
                await response.prepare(request)
            await response.write(chunk)
        if not response.prepared:
            await response.prepare(request)
        await response.write_eof()
        return response

    async def delete_file(self, request: web.Request) -> web.Response:
        file_id = request.match_info["id"]
        await self._files.delete(request[KEY_NAME], file_id)
        return web.json_response({"id": file_id, "object": "file", "deleted": True})

    async def _receive(self, request: web.Request, upload: _Upload) -> None:
        """The file goes to disk as it comes, so that a large one takes no memory."""
        if request.content_type != "multipart/form-data":
            raise InvalidRequestError("send multipart/form-data with the fields `file` and `purpose`")
        try:
            async for part in await request.multipart():
                if not isinstance(part, BodyPartReader):
                    raise InvalidRequestError("a field of the form is itself multipart; send `file` and `purpose`")
                match part.name:
                    case "file" if not upload.filename:
                        upload.filename = (part.filename or "file")[-_NAME_CHARACTERS:]
                        await self._spool(request, part, upload)
                    case "purpose":
                        written = await part.read_chunk(_FIELD_BYTES)
                        upload.purpose = written.decode("utf-8", "replace").strip()[:_PURPOSE_CHARACTERS]
                    case name:
                        field = str(name)[:100]
                        raise InvalidRequestError(f"the field {field!r} is not supported here, or came twice", field)
        except ValueError as error:
            raise InvalidRequestError(f"the form cannot be read: {str(error)[:200]}") from error
        for field, value in (("file", upload.filename), ("purpose", upload.purpose)):
            if not value:
                raise InvalidRequestError(f"the form has no `{field}`", field)

    async def _spool(self, request: web.Request, part: BodyPartReader, upload: _Upload) -> None:
        limit = self._max_file_bytes
        with upload.spooled.open("wb", buffering=0) as file:
            while chunk := await self._next_chunk(request, part):
                if upload.size + len(chunk) > limit:
                    check_ratio(request, limit)
                    raise TooLargeError(
                        f"the file is larger than {limit:,} bytes; split it or raise RLM_MAX_BODY_BYTES"
                    )
                if self._spooled + len(chunk) > limit:
                    raise StorageUnavailableError("too much is being uploaded at once; try again")
                upload.size += len(chunk)
                self._spooled += len(chunk)
                await asyncio.to_thread(file.write, chunk)

    async def _next_chunk(self, request: web.Request, part: BodyPartReader) -> bytes:
        async with request.app[INTAKE].patience():
            return await part.read_chunk(CHUNK_BYTES)


def _reply(stored: StoredFile) -> FileReply:
    return FileReply.model_validate(stored.model_dump())
