"""What the server has promised to the users of this process: every request that it accepted, and what it said became of it."""

from collections import defaultdict
from collections.abc import Mapping

from locust import events


class Promises:
    """Token -> request id -> the outcome that a user was told, or None as long as nobody was."""

    def __init__(self) -> None:
        self._by_token: defaultdict[str, dict[str, str | None]] = defaultdict(dict)

    def forget(self, **_event: object) -> None:
        """A new run has promises of its own."""
        self._by_token.clear()

    def accepted(self, token: str, request_id: str) -> None:
        """The server answered 202, or 200 at once."""
        self._by_token[token].setdefault(request_id, None)

    def told(self, token: str, request_id: str, outcome: str) -> None:
        """A user has seen the final outcome."""
        self._by_token[token][request_id] = outcome

    @property
    def by_token(self) -> Mapping[str, Mapping[str, str | None]]:
        """All of them."""
        return self._by_token


promises = Promises()
events.test_start.add_listener(promises.forget)


def outcome_of(document: Mapping[str, str | None]) -> str:
    """A final request in a word: a result, or the reason of a refusal."""
    return str(document["result"] or document["reason"])
