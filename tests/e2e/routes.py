"""The routes as the published document has them, and which of them need a token."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Route:
    """An operation: its path and query parameters by name, and whether it is a student's own."""

    method: str
    path: str
    parameters: Mapping[str, str]
    needs_token: bool

    def call(self, values: Mapping[str, str]) -> tuple[str, str, dict[str, str]]:
        """Method, path and query with those of the values that the route has a place for.

        Raises KeyError when the path has a place for which there is no value.
        """
        places = {name: values[name] for name, kind in self.parameters.items() if kind == "path"}
        query = {
            name: values[name] for name, kind in self.parameters.items() if kind == "query" and name in values
        }
        return self.method, self.path.format(**places), query

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def routes_of(document: Mapping[str, Any]) -> list[Route]:
    """Every operation of an OpenAPI document; one without `security` of its own has that of the whole document."""
    return [
        Route(
            method.upper(),
            path,
            {one["name"]: one["in"] for one in operation.get("parameters", [])},
            bool(operation.get("security", document.get("security"))),
        )
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]


def own_routes(document: Mapping[str, Any]) -> list[Route]:
    """The routes that need a token."""
    return [route for route in routes_of(document) if route.needs_token]
