"""The end of a run: whether everything that was accepted is final, as the server tells it; the run fails if not."""

import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import gevent
from calls import Document
from gevent.pool import Pool
from locust import events
from locust.contrib.fasthttp import FastHttpSession
from locust.env import Environment
from locust.event import EventHook
from locust.runners import MasterRunner, WorkerRunner
from promises import outcome_of, promises

PAGE_SIZE = 200
AT_ONCE = 20
LOOK_PAUSE_S = 0.5
# Beyond what the workers themselves may take.
REPLY_LIMIT_S = 30.0
BROKEN_SHOWN_MAX = 100
FINISH, CHECKED = "finish", "checked"

Replies = dict[str, dict[str, Any]]
replies: Replies = {}
"""What a master's workers have found, by their ids."""


@dataclass(slots=True)
class Check:
    """How many promises were kept, and what is wrong with the others."""

    kept: int = 0
    broken: list[str] = field(default_factory=list)


@events.init.add_listener
def agree_on_messages(environment: Environment, **_event: object) -> None:
    """Workers check what they were promised; their master collects what they found."""
    runner = environment.runner
    if isinstance(runner, MasterRunner):
        runner.register_message(CHECKED, _note_reply)
    if isinstance(runner, WorkerRunner):
        runner.register_message(FINISH, _finish, concurrent=True)


def _note_reply(msg: Any, **_event: object) -> None:
    replies[msg.node_id] = msg.data


def _finish(environment: Environment, **_event: object) -> None:
    """A master that quits without stopping first would not wait for its workers; this makes it one stop for both."""
    environment.runner.stop()


@events.test_start.add_listener
def forget_replies(**_event: object) -> None:
    """A new run, new findings."""
    replies.clear()


@events.test_stop.add_listener
def finish(environment: Environment, **_event: object) -> None:
    """Check, or have it checked, and report a row per promise; a failed row is what makes Locust exit with 1."""
    runner = environment.runner
    if isinstance(runner, MasterRunner):
        _report(environment, _collected(environment, runner))
        return
    check = checked(environment.host, environment.parsed_options.finish_limit_s)
    if isinstance(runner, WorkerRunner):
        runner.send_message(CHECKED, {"kept": check.kept, "broken": check.broken})
    else:
        _report(environment, check)


def _collected(environment: Environment, runner: MasterRunner) -> Check:
    """What all workers found. A worker that does not say counts as a broken promise."""
    workers = [client.id for client in runner.clients.all]
    runner.send_message(FINISH)
    deadline = time.monotonic() + environment.parsed_options.finish_limit_s + REPLY_LIMIT_S
    while set(workers) - set(replies) and time.monotonic() < deadline:
        gevent.sleep(LOOK_PAUSE_S)
    check = Check(sum(reply["kept"] for reply in replies.values()))
    for reply in replies.values():
        check.broken += reply["broken"]
    check.broken += [f"worker {worker} did not tell" for worker in set(workers) - set(replies)]
    return check


def _report(environment: Environment, check: Check) -> None:
    failures = [None] * check.kept + [AssertionError(broken) for broken in check.broken]
    for failure in failures:
        environment.events.request.fire(
            request_type="CHECK",
            name="accepted requests are final",
            response_time=0,
            response_length=0,
            exception=failure,
            context={},
        )
    logging.getLogger(__name__).log(
        logging.ERROR if check.broken else logging.INFO,
        "Of everything accepted, %d requests are final and %d are not as promised",
        check.kept,
        len(check.broken),
    )


def checked(host: str, limit_s: float) -> Check:
    """Ask the server about every promise of this process, for so long at the most."""
    # These calls are no part of the load: their rows go nowhere.
    session = FastHttpSession(host, EventHook(), user=None, concurrency=AT_ONCE)
    deadline = time.monotonic() + limit_s
    check = Check()
    pool = Pool(AT_ONCE)
    for token, promised in promises.by_token.items():
        pool.spawn(_check_student, session, token, promised, deadline, check)
    pool.join()
    check.broken[BROKEN_SHOWN_MAX:] = []
    return check


def _check_student(
    session: FastHttpSession, token: str, promised: Mapping[str, str | None], deadline: float, check: Check
) -> None:
    """Look through the student's own requests until all that were promised are final."""
    left = dict(promised)
    while True:
        for document in _requests(session, token):
            if document["request_id"] in left and document["status"] != "QUEUED":
                told, found = left.pop(document["request_id"]), outcome_of(document)
                if told in {None, found}:
                    check.kept += 1
                else:
                    check.broken.append(f"{document['request_id']}: {told} has become {found}")
            if not left:
                return
        if time.monotonic() > deadline:
            check.broken += [f"{request_id}: accepted, but not final" for request_id in left]
            return
        gevent.sleep(LOOK_PAUSE_S)


def _requests(session: FastHttpSession, token: str) -> Iterator[Document]:
    """The student's requests, newest first; none when the server does not answer, for then it is asked again."""
    after = ""
    while True:
        path, headers = f"/requests?limit={PAGE_SIZE}{after}", {"Authorization": f"Bearer {token}"}
        with session.get(path, headers=headers, catch_response=True) as response:
            response.success()
            if not response.content or response.status_code != 200:  # noqa: PLR2004 - OK
                return
            page = response.json()
        yield from page["requests"]
        if page["next"] is None:
            return
        after = f"&after={page['next']}"
