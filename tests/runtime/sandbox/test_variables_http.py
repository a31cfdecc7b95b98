"""PUT and GET of variables."""

from __future__ import annotations

import json

import pytest

from runtime.wire import ErrorCode, Status
from tests.runtime.sandbox.client import SandboxClient, new_id


async def session(client: SandboxClient) -> str:
    return (await client.create()).session_id


async def test_40_megabytes_of_ascii_are_set_and_usable(client: SandboxClient) -> None:
    made = await session(client)
    reply = await client.put(made, "context", b"0123456789" * 4_000_000)
    assert (reply.name, reply.type, reply.length) == ("context", "str", 40_000_000)
    checked = await client.execute(
        "len(context), context[-3:], context.count('0'), hash(context) == hash(context[:-1] + '9')", made
    )
    assert checked.result == "(40000000, '789', 4000000, True)"


@pytest.mark.parametrize(
    "text",
    ["", "a", "é", "中", "\U0001f600", "\0", "a" * 5000, "é" * 5000, "中文" * 5000, "\U0001f600x" * 5000, "x" * 4096],
)
async def test_text_of_any_width_is_equal_to_itself_and_comes_back(client: SandboxClient, text: str) -> None:
    made = await session(client)
    reply = await client.put(made, "v", text.encode())
    assert reply.length == len(text)
    checked = await client.execute(
        f"w = chr({ord(text[0]) if text else 0}) if v else ''\n"
        "type(v) is str, len(v), v[:1] == w, ''.join(list(v)) == v, {v: 1}[''.join(list(v))], v.encode().decode() == v",
        made,
    )
    assert checked.result == f"(True, {len(text)}, True, True, 1, True)"
    back = await client.get(made, "v")
    assert back.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert back.body.decode() == text


async def test_setting_a_one_character_string_does_not_change_that_character_elsewhere(client: SandboxClient) -> None:
    made = await session(client)
    await client.put(made, "v", b"b")
    await client.put(made, "w", "é".encode())
    assert (await client.execute("chr(97) * 2, chr(98), chr(233), v, w", made)).result == "('aa', 'b', 'é', 'b', 'é')"


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -1.5,
        "text",
        [],
        {},
        [1, [2, {"a": None}]],
        {"k": "é中"},
        10**40,
        ["x" * 10_000],
        list(range(5000)),
    ],
)
async def test_json_is_parsed_and_comes_back_as_json(client: SandboxClient, value: object) -> None:
    made = await session(client)
    reply = await client.put(made, "v", json.dumps(value).encode(), "application/json")
    assert reply.type == type(value).__name__
    assert reply.length == (len(value) if isinstance(value, str | list | dict) else None)
    back = await client.get(made, "v")
    if isinstance(value, str):
        assert back.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert back.body.decode() == value
    else:
        assert back.headers["Content-Type"] == "application/json; charset=utf-8"
        assert json.loads(back.body) == value


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"NaN", b"Infinity", b"[1, -Infinity]", b"{'a': 1}", b"1" * 5000, b"[" * 100_000, b"\xff", b"01"],
)
async def test_what_is_no_json_is_422_and_the_variable_keeps_its_value(client: SandboxClient, body: bytes) -> None:
    made = await session(client)
    await client.put(made, "v", b"before")
    reply = await client.put_raw(made, "v", body, "application/json")
    assert (reply.status, reply.error().code) == (422, ErrorCode.INVALID_VALUE)
    assert (await client.execute("v", made)).result == "'before'"


async def test_text_that_is_no_utf8_is_422(client: SandboxClient) -> None:
    made = await session(client)
    error = (await client.put_raw(made, "v", b"abc\xff")).error()
    assert (error.code, "byte 3" in error.message) == (ErrorCode.INVALID_VALUE, True)


@pytest.mark.parametrize("content_type", ["application/octet-stream", "text/html", "application/x-www-form-urlencoded"])
async def test_another_content_type_is_400_that_names_the_possible_ones(
    client: SandboxClient, content_type: str
) -> None:
    error = (await client.put_raw(await session(client), "v", b"x", content_type)).error()
    assert error.code is ErrorCode.MALFORMED
    assert "text/plain" in error.message


@pytest.mark.parametrize("name", ["1a", "a-b", "a.b", "é", "a b", "x" * 129, "a\n"])
async def test_a_name_that_is_no_identifier_is_400(client: SandboxClient, name: str) -> None:
    assert (await client.put_raw(await session(client), name, b"x")).error().code is ErrorCode.MALFORMED


async def test_beyond_the_limit_is_413_and_the_session_goes_on(client: SandboxClient) -> None:
    made = await session(client)
    await client.execute("x = 1", made)
    reply = await client.put_raw(made, "v", b"x" * ((64 << 20) + 1))
    assert (reply.status, reply.error().code) == (413, ErrorCode.TOO_LARGE)
    assert (await client.execute("x, 'v' in globals()", made)).result == "(1, False)"


async def test_what_does_not_fit_into_the_sessions_memory_is_422_and_the_session_goes_on(
    client: SandboxClient,
) -> None:
    made = (await client.create(limits={"memory": 64 << 20})).session_id
    await client.execute("x = 1", made)
    reply = await client.put_raw(made, "v", b"x" * (50 << 20))
    assert (reply.status, reply.error().code) == (422, ErrorCode.INVALID_VALUE)
    assert "memory" in reply.error().message
    checked = await client.execute("x", made)
    assert (checked.result, checked.rolled_back) == ("1", False)


async def test_a_variable_of_an_unknown_session_is_404(client: SandboxClient) -> None:
    assert (await client.put_raw(new_id(), "v", b"x")).error().code is ErrorCode.SESSION_NOT_FOUND
    assert (await client.get(new_id(), "v")).error().code is ErrorCode.SESSION_NOT_FOUND


async def test_a_missing_variable_is_404_with_a_code_of_its_own(client: SandboxClient) -> None:
    reply = await client.get(await session(client), "absent")
    assert (reply.status, reply.error().code) == (404, ErrorCode.VARIABLE_NOT_FOUND)


@pytest.mark.parametrize(
    "expression",
    [
        "object()",
        "{1, 2}",
        "float('nan')",
        "[float('inf')]",
        "b'x'",
        "{(1, 2): 3}",
        "(l := [], l.append(l))[0]",
        "10**5000",
    ],
)
async def test_a_value_without_json_form_is_422(client: SandboxClient, expression: str) -> None:
    made = await session(client)
    await client.execute(f"v = {expression}", made)
    reply = await client.get(made, "v")
    assert (reply.status, reply.error().code) == (422, ErrorCode.NOT_SERIALISABLE)
    assert (await client.execute("1", made)).status is Status.OK


async def test_lone_surrogates_come_back_as_escapes(client: SandboxClient) -> None:
    made = await session(client)
    await client.execute("v = 'a\\ud800b'", made)
    assert (await client.get(made, "v")).body == b"a\\ud800b"


async def test_a_large_value_comes_back_whole(client: SandboxClient) -> None:
    made = await session(client)
    await client.execute("v = '0123456789' * 2_000_000\nw = 'é' * 1_000_000\nl = list(range(500_000))", made)
    assert (await client.get(made, "v")).body == b"0123456789" * 2_000_000
    assert (await client.get(made, "w")).body.decode() == "é" * 1_000_000
    assert json.loads((await client.get(made, "l")).body) == list(range(500_000))


@pytest.mark.parametrize("size", [(64 << 20) + 1, 180_000_000])
async def test_a_value_beyond_the_limit_is_413_and_the_session_goes_on(client: SandboxClient, size: int) -> None:
    made = await session(client)
    await client.execute(f"v = 'x' * {size}", made)
    reply = await client.get(made, "v")
    assert (reply.status, reply.error().code) == (413, ErrorCode.TOO_LARGE)
    assert (await client.execute("len(v)", made)).result == str(size)


async def test_a_value_whose_encoded_form_has_no_room_is_413_and_the_session_goes_on(client: SandboxClient) -> None:
    made = (await client.create(limits={"memory": 128 << 20})).session_id
    await client.execute("v = 'é' * (60 << 20)", made)
    reply = await client.get(made, "v")
    assert (reply.status, reply.error().code) == (413, ErrorCode.TOO_LARGE)
    checked = await client.execute("len(v)", made)
    assert (checked.result, checked.rolled_back) == (str(60 << 20), False)


async def test_a_variable_survives_a_bad_cell_right_after_it_was_set(client: SandboxClient) -> None:
    for policy in ("cell", "idle"):
        made = (await client.create(checkpoint=policy)).session_id
        await client.put(made, "context", b"x" * 100_000)
        reply = await client.execute("while True: pass", made, timeout=0.3)
        assert reply.rolled_back
        assert (await client.execute("len(context)", made)).result == "100000"


async def test_a_variable_can_be_the_first_thing_of_a_session_and_a_cell_can_change_it(client: SandboxClient) -> None:
    made = await session(client)
    await client.put(made, "v", b"[1]", "application/json")
    await client.execute("v.append(2)", made)
    assert (await client.get(made, "v")).body == b"[1, 2]"
