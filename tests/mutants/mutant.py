"""A planted bug: exact replacements in exact places, and the test that must turn red because of them."""

from dataclasses import dataclass
from pathlib import Path


class DoesNotApplyError(Exception):
    """The text that a mutant replaces is not in its file exactly once."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One replacement: `original` stands in `file`, a path from the project's root, exactly once."""

    file: str
    original: str
    planted: str

    def check(self, root: Path) -> str:
        """The file's text below `root`. Raises DoesNotApplyError."""
        path = root / self.file
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        found = text.count(self.original)
        if found != 1:
            message = f"does not apply: {self.file} has this {found} times:\n{self.original}"
            raise DoesNotApplyError(message)
        return text

    def apply(self, root: Path) -> None:
        """Carry it out below `root`. Raises DoesNotApplyError."""
        text = self.check(root)
        (root / self.file).write_text(text.replace(self.original, self.planted), encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Mutant:
    """A bug by name, where it is planted, and the pytest node id of the test that knows better.

    `saying` is what that test must then say, where it could also fail for a reason that proves something else.
    """

    name: str
    test: str
    edits: tuple[Edit, ...]
    saying: str = ""

    @property
    def files(self) -> list[str]:
        """The files it changes."""
        return list(dict.fromkeys(edit.file for edit in self.edits))


def mutant(name: str, test: str, file: str, original: str, planted: str, *, saying: str = "") -> Mutant:
    """The usual mutant, of one replacement."""
    return Mutant(name, test, (Edit(file, original, planted),), saying)
