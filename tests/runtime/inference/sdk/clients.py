"""The `openai` SDKs behind one interface, so that each documented behaviour is one test for all of them.

A command has a name and JSON arguments, and gives JSON or an `SdkError`, whichever language runs it. Node's is in
`node_client.py`.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Final

import openai

PATIENT: Final = 60.0  # seconds, for requests that are expected to succeed

JsonObject = dict[str, Any]  # of the SDK's own types, which the tests look into


class SdkError(Exception):
    """What the SDK raised; `kind` is the class's name."""

    def __init__(self, described: JsonObject) -> None:
        super().__init__(described)
        self.kind: str = described["kind"]
        self.status: int | None = described["status"]
        self.code: str | None = described["code"]
        self.type: str | None = described["type"]
        self.param: str | None = described["param"]
        self.request_id: str | None = described["requestId"]
        self.message: str = described["message"]


@dataclass(frozen=True)
class Target:
    """Whom a client asks, and how patiently. `timeout` is the client's own, in seconds, for each attempt."""

    url: str
    key: str
    retries: int = 2
    timeout: float = PATIENT


class Sdk(ABC):
    """One SDK. Its timeout error is `timeout_kind`."""

    timeout_kind = "APITimeoutError"

    @abstractmethod
    async def run(self, target: Target, command: str, args: JsonObject) -> Any:
        """Raises SdkError."""

    async def chat(self, target: Target, **params: Any) -> JsonObject:
        return dict(await self.run(target, "chat", {"params": params}))

    async def chat_stream(self, target: Target, leave_after: int | None = None, **params: Any) -> list[JsonObject]:
        """The chunks, up to the last or until the caller leaves."""
        return list(await self.run(target, "chatStream", {"params": params, "leaveAfter": leave_after}))

    async def upload(self, target: Target, name: str, text: str) -> JsonObject:
        args = {"name": name, "text": text, "purpose": "user_data"}
        return dict(await self.run(target, "upload", args))

    async def files(self, target: Target, **params: Any) -> list[str]:
        """Ids, over all pages."""
        return list(await self.run(target, "files", {"params": params}))


class AsyncPython(Sdk):
    async def run(self, target: Target, command: str, args: JsonObject) -> Any:
        client = openai.AsyncOpenAI(
            base_url=target.url, api_key=target.key, max_retries=target.retries, timeout=target.timeout
        )
        async with client:
            try:
                return await self._run(client, command, args)
            except openai.OpenAIError as error:
                raise SdkError(describe(error)) from error

    async def _run(self, client: openai.AsyncOpenAI, command: str, args: JsonObject) -> Any:
        match command:
            case "chat":
                return (await client.chat.completions.create(**args["params"])).to_dict()
            case "chatStream":
                stream = await client.chat.completions.create(**args["params"], stream=True)
                seen: list[JsonObject] = []
                async with stream:
                    async for chunk in stream:
                        seen.append(chunk.to_dict())
                        if len(seen) == args["leaveAfter"]:
                            break
                return seen
            case "upload":
                content = args["text"].encode()
                return (await client.files.create(file=(args["name"], content), purpose=args["purpose"])).to_dict()
            case "files":
                return [file.id async for file in client.files.list(**args["params"])]
            case "file":
                return (await client.files.retrieve(args["id"])).to_dict()
            case "fileContent":
                return (await client.files.content(args["id"])).text
            case "deleteFile":
                return (await client.files.delete(args["id"])).to_dict()
            case "response":
                return (await client.responses.create(**args["params"])).to_dict()
            case "responseStream":
                events = await client.responses.create(**args["params"], stream=True)
                seen = []
                async with events:
                    async for event in events:
                        seen.append(event.to_dict())
                        if len(seen) == args["leaveAfter"]:
                            break
                return seen
            case "getResponse":
                return (await client.responses.retrieve(args["id"])).to_dict()
            case "followResponse":
                followed = await client.responses.retrieve(args["id"], stream=True, starting_after=args["after"])
                return [event.to_dict() async for event in followed]
            case "cancelResponse":
                return (await client.responses.cancel(args["id"])).to_dict()
            case "deleteResponse":
                return await client.responses.delete(args["id"])
            case "inputItems":
                return [item.id async for item in client.responses.input_items.list(args["id"])]
            case "models":
                return [model.id async for model in client.models.list()]
            case "model":
                return (await client.models.retrieve(args["id"])).to_dict()
            case _:
                raise AssertionError(command)


class SyncPython(Sdk):
    async def run(self, target: Target, command: str, args: JsonObject) -> Any:
        return await asyncio.to_thread(self._run, target, command, args)

    def _run(self, target: Target, command: str, args: JsonObject) -> Any:
        client = openai.OpenAI(
            base_url=target.url, api_key=target.key, max_retries=target.retries, timeout=target.timeout
        )
        with client:
            try:
                return self._ask(client, command, args)
            except openai.OpenAIError as error:
                raise SdkError(describe(error)) from error

    def _ask(self, client: openai.OpenAI, command: str, args: JsonObject) -> Any:
        match command:
            case "chat":
                return client.chat.completions.create(**args["params"]).to_dict()
            case "chatStream":
                seen: list[JsonObject] = []
                with client.chat.completions.create(**args["params"], stream=True) as stream:
                    for chunk in stream:
                        seen.append(chunk.to_dict())
                        if len(seen) == args["leaveAfter"]:
                            break
                return seen
            case "upload":
                content = args["text"].encode()
                return client.files.create(file=(args["name"], content), purpose=args["purpose"]).to_dict()
            case "files":
                return [file.id for file in client.files.list(**args["params"])]
            case "file":
                return client.files.retrieve(args["id"]).to_dict()
            case "fileContent":
                return client.files.content(args["id"]).text
            case "deleteFile":
                return client.files.delete(args["id"]).to_dict()
            case "response":
                return (client.responses.create(**args["params"])).to_dict()
            case "responseStream":
                events = client.responses.create(**args["params"], stream=True)
                seen = []
                with events:
                    for event in events:
                        seen.append(event.to_dict())
                        if len(seen) == args["leaveAfter"]:
                            break
                return seen
            case "getResponse":
                return (client.responses.retrieve(args["id"])).to_dict()
            case "followResponse":
                followed = client.responses.retrieve(args["id"], stream=True, starting_after=args["after"])
                return [event.to_dict() for event in followed]
            case "cancelResponse":
                return (client.responses.cancel(args["id"])).to_dict()
            case "deleteResponse":
                return client.responses.delete(args["id"])
            case "inputItems":
                return [item.id for item in client.responses.input_items.list(args["id"])]
            case "models":
                return [model.id for model in client.models.list()]
            case "model":
                return client.models.retrieve(args["id"]).to_dict()
            case _:
                raise AssertionError(command)


def describe(error: openai.OpenAIError) -> JsonObject:
    return {
        "kind": type(error).__name__,
        "status": getattr(error, "status_code", None),
        "code": getattr(error, "code", None),
        "type": getattr(error, "type", None),
        "param": getattr(error, "param", None),
        "requestId": getattr(error, "request_id", None),
        "message": str(error),
    }
