"""One response as it is kept: what its request said, and its run. Found by `response_book.py`, also for others."""

from __future__ import annotations

from pydantic import BaseModel

from runtime.inference.response_object import ResponseObject, build_response
from runtime.inference.response_record import ResponseRecord
from runtime.inference.run_record import RunDetail


class KeptResponse(BaseModel):
    record: ResponseRecord
    detail: RunDetail

    @property
    def now(self) -> ResponseObject:
        return build_response(self.record, self.detail)

    @property
    def begun(self) -> ResponseObject:
        return build_response(self.record, self.detail.begun())
