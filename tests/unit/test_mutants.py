"""Every mutant of `make mutants` can still be planted, and its test still exists."""

import ast

import pytest

from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Mutant
from tests.mutants.project_copy import PROJECT_ROOT
from tests.mutants.trial import BROKEN, KILLED, SURVIVED, Run, judge


def name_of(mutant: Mutant) -> str:
    """Its name as the test's id."""
    return mutant.name


@pytest.mark.parametrize("mutant", MUTANTS, ids=name_of)
def test_a_mutant_applies_and_names_a_test_that_exists(mutant: Mutant) -> None:
    """Code moves on; a bug that cannot be planted any more guards nothing."""
    for edit in mutant.edits:
        edit.check(PROJECT_ROOT)
        assert edit.planted != edit.original
    file, _, function = mutant.test.partition("::")
    tree = ast.parse((PROJECT_ROOT / file).read_text(encoding="utf-8"))
    assert function.partition("[")[0] in {
        node.name for node in tree.body if isinstance(node, ast.FunctionDef)
    }


def test_each_mutant_has_a_name_of_its_own() -> None:
    """Verdicts are kept by name."""
    names = [mutant.name for mutant in MUTANTS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("run", "saying", "result"),
    [
        (Run(0, 0, 0, "", ""), "", SURVIVED),
        (Run(1, 1, 0, "oversold", ""), "", KILLED),
        (Run(1, 1, 0, "oversold", ""), "oversold", KILLED),
        (Run(1, 1, 0, "UniqueViolation", ""), "oversold", BROKEN),
        (Run(1, 1, 0, "ImportError: no", ""), "", BROKEN),
        (Run(1, 0, 1, "", ""), "", BROKEN),
        (Run(-1, 0, 0, "", ""), "", BROKEN),
    ],
)
def test_a_mutant_is_killed_only_by_a_test_that_says_what_it_should(
    run: Run, saying: str, result: str
) -> None:
    """Red for another reason proves something else, if anything."""
    assert judge(run, saying)[0] == result
