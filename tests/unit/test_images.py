"""What `make images` rests on, as far as that can be tried without a builder of images."""

import fnmatch
import os
import py_compile
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from scripts.image_checks import CONTENTS, compiled_by
from scripts.image_context import FOLDERS, MARK, SOURCES, STRAYS, copy_with_strays
from scripts.image_services import ROLES, SECRETS
from scripts.images import EXIT_NOT_CHECKED
from tests.conftest import REPOSITORY
from tests.unit.test_dockerfiles import of_kind


def ended_with_path(path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """`make images` where nothing but the programs of this folder is to be found."""
    return subprocess.run(
        [sys.executable, "-m", "scripts.images", *options],
        check=False,
        cwd=REPOSITORY,
        env=os.environ | {"PATH": str(path)},
        capture_output=True,
        text=True,
    )


def test_without_a_builder_nothing_was_checked_and_each_is_told_why(tmp_path: Path) -> None:
    """Silence, or exit code 0, would look like success."""
    ended = ended_with_path(tmp_path)
    assert ended.returncode == EXIT_NOT_CHECKED
    assert ended.stdout == (
        "NOT CHECKED: docker is not installed; podman is not installed; buildah is not installed\n"
    )


def test_a_builder_that_does_not_answer_is_none(tmp_path: Path) -> None:
    """A client alone, whose engine is away, for example."""
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\necho no engine >&2\nexit 1\n")
    docker.chmod(0o755)
    ended = ended_with_path(tmp_path, "--builder", "docker")
    assert (ended.returncode, ended.stdout) == (
        EXIT_NOT_CHECKED,
        "NOT CHECKED: docker does not answer: no engine\n",
    )


def test_a_module_without_valid_bytecode_is_noticed(tmp_path: Path) -> None:
    """Missing or stale, and neither is one that has it."""
    made, stale, missing = (tmp_path / f"{name}_module.py" for name in ("made", "stale", "missing"))
    for module in (made, stale, missing):
        module.write_text("VALUE = 1\n")
    for module in (made, stale):
        py_compile.compile(str(module), invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)
    stale.write_text("VALUE = 2\n")
    told = subprocess.run(
        [sys.executable, "-v", "-c", "import made_module, stale_module, missing_module"],
        check=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    own = [line.rstrip("'") for line in compiled_by(told.stderr) if str(tmp_path) in line]
    assert [line.rpartition("/")[2] for line in own] == [stale.name, missing.name]


@pytest.mark.parametrize("part", CONTENTS)
def test_an_image_is_expected_to_hold_what_its_recipe_copies(part: str) -> None:
    """No more, so that a stray is one, and no less."""
    copies = [words.split() for words in of_kind(f"Dockerfile.{part}", "COPY")]
    own = [words for words in copies if words[-1] in ("./", words[0]) and "requirements.txt" not in words]
    assert {source for words in own for source in words[:-1]} == CONTENTS[part]


def test_the_copy_that_is_built_from_has_all_that_may_come_in_and_every_stray(tmp_path: Path) -> None:
    """Nothing else could show that .dockerignore keeps strays out."""
    copy_with_strays(tmp_path)
    rules = (REPOSITORY / ".dockerignore").read_text().splitlines()
    let_in = [rule.removeprefix("!") for rule in rules if rule.startswith("!")]
    assert all(any(fnmatch.fnmatch(name, known) for known in (*FOLDERS, *SOURCES)) for name in let_in)
    assert all((tmp_path / name).exists() for name in let_in)
    assert {(tmp_path / name).read_text() for name in STRAYS} == {MARK}


def test_containers_are_given_the_secrets_and_logins_that_compose_gives_them() -> None:
    """What is checked of them is then true of Compose."""
    services = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())["services"]
    for service, expected in SECRETS.items():
        given = [
            {"source": each, "target": each} if isinstance(each, str) else each
            for each in services[service]["secrets"]
        ]
        assert {each["source"]: each["target"] for each in given} == expected
    for service, role in ROLES.items():
        assert services[service]["environment"]["DATABASE_URL"].startswith(f"postgresql://{role}@")
