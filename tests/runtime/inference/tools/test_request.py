"""How arguments become a request, and that none of them leaves its place."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.inference.tools.declaration import HttpTool
from runtime.inference.tools.request import UnfitArgumentError, build_request


def declare(url: str, method: str = "GET") -> HttpTool:
    parameters = {"type": "object", "properties": dict.fromkeys(("id", "q", "a", "b"), True)}
    return HttpTool.model_validate(
        {"name": "t", "description": "d", "url": f"https://h.example{url}", "method": method, "parameters": parameters}
    )


@pytest.mark.parametrize(
    ("url", "arguments", "target"),
    [
        ("", {}, "/"),
        ("/v1/{id}", {"id": 7}, "/v1/7"),
        ("/v1/{id}", {"id": "a b?c#d&e=ü%2F"}, "/v1/a%20b%3Fc%23d%26e%3D%C3%BC%252F"),
        ("/v1/{id}.json", {"id": True}, "/v1/true.json"),
        ("/s?fixed=1&q={q}", {"q": "x&y=z"}, "/s?fixed=1&q=x%26y%3Dz"),
        ("/s", {"q": "x y", "a": [1, "two"], "b": {"k": 1}}, "/s?q=x%20y&a=1&a=two&b=%7B%22k%22%3A1%7D"),
        ("/s?fixed=1", {"q": "x"}, "/s?fixed=1&q=x"),
        ("/s", {"q": None}, "/s"),
        ("/s", {"q": "\r\nHost: evil"}, "/s?q=%0D%0AHost%3A%20evil"),
    ],
)
def test_arguments_go_escaped_into_path_and_query(url: str, arguments: dict[str, Any], target: str) -> None:
    request = build_request(declare(url), arguments)
    assert (request.url, request.body) == (f"https://h.example{target}", None)


def test_what_the_url_does_not_name_is_the_json_body_of_a_post() -> None:
    request = build_request(declare("/v1/{id}", "POST"), {"id": 1, "q": "x", "a": [1]})
    assert (request.url, request.body) == ("https://h.example/v1/1", b'{"q":"x","a":[1]}')


@pytest.mark.parametrize(
    ("url", "arguments"),
    [
        ("/v1/{id}/x", {"id": ".."}),
        ("/v1/{id}/x", {"id": "."}),
        ("/v1/{a}{b}/x", {"a": ".", "b": "."}),
        ("/v1/{id}", {"id": "../admin"}),
        ("/v1/{id}", {"id": "..\\admin"}),
        ("/v1/{id}", {"id": "a/b"}),
        ("/v1/{id}", {"id": "a\0b"}),
        ("/v1/{id}", {"id": ""}),
        ("/v1/{id}", {"id": None}),
        ("/v1/{id}", {}),
        ("/v1", {"q": "\ud800"}),
    ],
)
def test_an_argument_that_would_leave_its_place_is_refused(url: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(UnfitArgumentError):
        build_request(declare(url), arguments)
