"""Holding every response that a test happens to get against the published OpenAPI document."""

import re
from typing import Any

import httpx
import schemathesis
from schemathesis.schemas import APIOperation

PROBLEM = "application/problem+json"


class Contract:
    """The OpenAPI document, by route."""

    def __init__(self, document: dict[str, Any]) -> None:
        schema = schemathesis.openapi.from_dict(document)
        self._routes: list[tuple[re.Pattern[str], str, set[str], APIOperation]] = [
            (_pattern(path), method.upper(), set(described["responses"]), schema[path][method])
            for path, item in document["paths"].items()
            for method, described in item.items()
        ]

    def check(self, response: httpx.Response) -> None:
        """Fail when the status, media type, headers or body are not as documented; every error is a problem."""
        response.read()
        request = response.request
        if response.is_error and request.url.path != "/health/ready":
            _check_problem(response)
        for pattern, method, statuses, operation in self._routes:
            if method == request.method and pattern.fullmatch(request.url.path):
                assert str(response.status_code) in statuses, f"undocumented: {response} {response.text}"
                operation.validate_response(response)
                return


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path)))


def _check_problem(response: httpx.Response) -> None:
    assert response.headers["content-type"] == PROBLEM, response.text
    problem = response.json()
    assert problem["status"] == response.status_code
    assert re.fullmatch(r"[a-z_]+", problem["code"]), problem
    assert problem["type"].endswith(":" + problem["code"])
    assert problem["title"]
    assert problem["detail"]
    if response.status_code == 401:
        assert response.headers["WWW-Authenticate"] == "Bearer"
    if response.status_code in (429, 503):
        assert int(response.headers["Retry-After"]) >= 1
