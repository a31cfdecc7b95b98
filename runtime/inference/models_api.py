"""GET /v1/models: the one model that this service answers as."""

from __future__ import annotations

import time

from aiohttp import web

from runtime.inference.errors import ModelNotFoundError


class ModelsApi:
    def __init__(self, served_model: str) -> None:
        self._model = {"id": served_model, "object": "model", "created": int(time.time()), "owned_by": "rlm-operator"}

    async def get_models(self, _: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [self._model]})

    async def get_model(self, request: web.Request) -> web.Response:
        """Ids may hold slashes. Raises ModelNotFoundError for any other id."""
        asked = request.match_info["id"]
        if asked != self._model["id"]:
            raise ModelNotFoundError(f"the model {asked[:200]!r} does not exist; see /v1/models", "model")
        return web.json_response(self._model)
