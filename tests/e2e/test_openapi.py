"""The published OpenAPI document, by itself and held against the running API with generated requests."""

import subprocess
import sys
from typing import Any

import httpx
import pytest
import schemathesis

from tests.e2e.campus import Campus
from tests.e2e.stack import Stack

SEED = 20260901
EXAMPLES_PER_OPERATION = 40
TIME_LIMIT_S = 300
CONFIGURATION = """
# Bytes are what bcrypt limits, and JSON Schema counts characters: a password that fits the schema may be too long.
# And so many wrong passwords get any account throttled.
[[operations]]
include-path-regex = "^/auth/"
checks.positive_data_acceptance.expected-statuses = ["2xx", "401", "422", "429"]

# A key may be well formed and used before for another request; and RFC 7240 has a server ignore every preference it
# does not know, so that a `Prefer` other than the documented one is accepted.
[[operations]]
include-path-regex = "/(register|drop)$"
checks.positive_data_acceptance.expected-statuses = ["2xx", "404", "409", "422", "429"]
checks.negative_data_rejection.expected-statuses = ["2xx", "401", "404", "405", "409", "422", "429"]
"""


def examples_of(document: dict[str, Any], name: str) -> str:
    """The example of a path parameter, the same wherever it occurs."""
    found = {
        parameter["examples"][0] if "examples" in parameter else parameter["schema"]["examples"][0]
        for item in document["paths"].values()
        for operation in item.values()
        for parameter in operation.get("parameters", [])
        if parameter["in"] == "path" and parameter["name"] == name
    }
    assert len(found) == 1, found
    return found.pop()


@pytest.mark.slow
@pytest.mark.timeout(2 * TIME_LIMIT_S)
def test_every_answer_to_generated_requests_is_as_documented(
    stack: Stack, campus: Campus, http: httpx.Client
) -> None:
    """Valid, invalid and missing input of every kind: never a 5xx, and status, headers and body as the document says."""
    document = http.get("/openapi.json").json()
    semester_id = campus.semester(semester_id=examples_of(document, "semester_id"))
    campus.course(semester_id=semester_id, course_id=examples_of(document, "course_id"))
    (stack.directory / "schemathesis.toml").write_text(CONFIGURATION, encoding="utf-8")
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{stack.api_url}/openapi.json"),
        *("--header", f"Authorization: Bearer {campus.student().token}"),
        *("--phases", "examples,coverage,fuzzing,stateful", "--checks", "all", "--no-color"),
        *("--max-examples", str(EXAMPLES_PER_OPERATION), "--seed", str(SEED)),
    ]
    finished = subprocess.run(
        command, cwd=stack.directory, capture_output=True, text=True, timeout=TIME_LIMIT_S, check=False
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "14 selected / 14 total" in finished.stdout


def test_the_document_is_valid_openapi(http: httpx.Client) -> None:
    """What `/openapi.json` says is OpenAPI 3.1, and both readers of it are served."""
    document = http.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    # The specification lets URLs be relative; the JSON Schema published with it forgets that here.
    flows = document["components"]["securitySchemes"]["OAuth2PasswordBearer"]["flows"]
    flows["password"]["tokenUrl"] = "http://localhost:8500" + flows["password"]["tokenUrl"]
    schemathesis.openapi.from_dict(document).validate()
    for path in ("/docs", "/redoc"):
        assert http.get(path).headers["content-type"].startswith("text/html")


def test_every_operation_of_the_contract_is_there_and_described(http: httpx.Client) -> None:
    """Summary, description and tag for each; and nothing is published that the contract does not name."""
    paths = http.get("/openapi.json").json()["paths"]
    named = {(method.upper(), path) for path, item in paths.items() for method in item}
    assert named == {
        ("POST", "/auth/login"),
        ("POST", "/auth/token"),
        ("GET", "/semesters/"),
        ("GET", "/semesters/{semester_id}"),
        ("GET", "/semesters/{semester_id}/courses"),
        ("GET", "/semesters/{semester_id}/my-courses"),
        ("GET", "/courses/{course_id}"),
        ("POST", "/courses/{course_id}/register"),
        ("POST", "/courses/{course_id}/drop"),
        ("GET", "/requests"),
        ("GET", "/requests/{request_id}"),
        ("GET", "/health/live"),
        ("GET", "/health/ready"),
        ("GET", "/metrics"),
    }
    for method, path in named:
        operation = paths[path][method.lower()]
        assert all("X-Request-ID" in response["headers"] for response in operation["responses"].values())
        assert all(operation.get(part) for part in ("summary", "description", "tags")), (method, path)


def test_every_json_answer_has_an_example(http: httpx.Client) -> None:
    """Of each status of each operation, problems with one for every code."""
    document = http.get("/openapi.json").json()
    for path, item in document["paths"].items():
        for method, operation in item.items():
            for status, response in operation["responses"].items():
                for media_type, content in response.get("content", {}).items():
                    if "json" in media_type:
                        assert has_example(document, content), (method, path, status)
                for name, header in response["headers"].items():
                    assert "example" in header, (method, path, status, name)


def has_example(document: dict[str, Any], content: dict[str, Any]) -> bool:
    """Whether there is an example, at the media type or at the schema it refers to."""
    if "example" in content or content.get("examples"):
        return True
    name = content["schema"]["$ref"].rsplit("/", 1)[-1]
    return "example" in document["components"]["schemas"][name]
