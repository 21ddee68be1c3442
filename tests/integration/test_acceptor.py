"""The API's side of accepting: many at once in one pipeline, and honest when Redis is away."""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import redis
from structlog.testing import capture_logs

from scripts.local_servers import LocalValkey, free_port
from shared.course_queue import keys
from shared.course_queue.accepting import BATCH_SIZE_MAX, Acceptor, Repeated
from shared.course_queue.connection import sync_client
from shared.errors import KeyConflictError, QueueFullError, QueueUnavailableError, StudentLimitError
from shared.requests import Place
from shared.settings import Settings
from tests.faults.proxy import Proxy
from tests.integration.acceptors import asked, running, with_acceptor


def test_many_at_once_get_contiguous_sequences_in_the_order_of_the_queue(
    redis_client: redis.Redis, settings: Settings
) -> None:
    """Rule C, over several pipelines' worth of requests to two courses."""
    courses, count = [str(uuid4()), str(uuid4())], BATCH_SIZE_MAX + 50

    async def rush(acceptor: Acceptor) -> list[list[Place | Repeated]]:
        per_course = [[acceptor.accept(asked(course)) for _ in range(count)] for course in courses]
        return [await asyncio.gather(*calls) for calls in per_course]

    for course, places in zip(courses, with_acceptor(settings, rush), strict=True):
        by_sequence = {place.sequence: place.request_id for place in places if isinstance(place, Place)}
        assert sorted(by_sequence) == list(range(1, count + 1))
        waiting = [raw.decode() for raw in redis_client.lrange(keys.queue(course), 0, -1)]
        assert waiting == [by_sequence[sequence] for sequence in range(1, count + 1)]


def sequences_in(client: redis.Redis, course_id: str) -> list[int]:
    """The sequences of what stands in a course's queue, head first."""
    request_ids = [raw.decode() for raw in client.lrange(keys.queue(course_id), 0, -1)]
    return [json.loads(client.hget(keys.job(one), "data"))[3]["sequence"] for one in request_ids]


def test_two_api_processes_at_one_course_leave_no_gap_and_no_disorder(
    redis_client: redis.Redis, settings: Settings
) -> None:
    """Rule C: nobody's sequence and place have anybody else's in between."""
    course, count = str(uuid4()), BATCH_SIZE_MAX + 50

    async def rush() -> list[Place | Repeated]:
        async with running(settings) as one, running(settings) as other:
            calls = [acceptor.accept(asked(course)) for _ in range(count) for acceptor in (one, other)]
            return await asyncio.gather(*calls)

    asyncio.run(rush())
    assert sequences_in(redis_client, course) == list(range(1, 2 * count + 1)), "gap or disorder"


def test_an_api_process_cut_off_as_soon_as_redis_has_heard_it_leaves_no_gap(
    redis_client: redis.Redis, redis_server: LocalValkey, settings: Settings
) -> None:
    """Rule C, P2: killed or cut off then, it can do nothing more about the request, and must not have to."""
    course = str(uuid4())
    with Proxy(redis_server.port) as proxy:
        url = redis_server.url.replace(f":{redis_server.port}/", f":{proxy.port}/")
        cut_off = settings.model_copy(update={"redis_url": url})

        async def lose_the_answer(acceptor: Acceptor) -> None:
            await acceptor.accept(asked(course))
            proxy.lose_replies()
            with pytest.raises(QueueUnavailableError):
                await acceptor.accept(asked(course))

        with_acceptor(cut_off, lose_the_answer)
    with_acceptor(settings, lambda acceptor: acceptor.accept(asked(course)))
    assert sequences_in(redis_client, course) == [1, 2, 3], "gap or disorder"


def test_what_is_wrong_with_one_request_is_no_others_trouble(
    redis_client: redis.Redis, settings: Settings
) -> None:
    """A broken key of one course refuses that course's requests, and accepts the others that came in the same turn."""
    broken, whole = str(uuid4()), str(uuid4())
    redis_client.set(keys.queue(broken), "no list")

    async def mixed(acceptor: Acceptor) -> list[Place | Repeated | BaseException]:
        calls = [acceptor.accept(asked(course)) for course in (whole, broken, whole)]
        return await asyncio.gather(*calls, return_exceptions=True)

    first, refused, second = with_acceptor(settings, mixed)
    assert isinstance(refused, QueueUnavailableError)
    assert [place.sequence for place in (first, second) if isinstance(place, Place)] == [1, 2]


def test_one_students_impatient_clicks_are_one_request(redis_client: redis.Redis, settings: Settings) -> None:
    """P4: one is accepted, all others are led to it."""
    course, student = str(uuid4()), str(uuid4())

    async def click(acceptor: Acceptor) -> list[Place | Repeated]:
        return await asyncio.gather(*[acceptor.accept(asked(course, student)) for _ in range(30)])

    answers = with_acceptor(settings, click)
    assert len([answer for answer in answers if isinstance(answer, Place)]) == 1
    assert len({answer.request_id for answer in answers}) == 1
    assert redis_client.llen(keys.queue(course)) == 1


def test_each_refusal_reaches_the_one_who_asked(redis_client: redis.Redis, settings: Settings) -> None:
    """P8: within one pipeline each gets its own answer."""
    tight = settings.model_copy(update={"queue_limit": 1, "student_waiting_limit": 1})
    course, student = str(uuid4()), str(uuid4())

    async def ask(acceptor: Acceptor) -> list[object]:
        return await asyncio.gather(
            acceptor.accept(asked(course, student, key="k")),
            acceptor.accept(asked(course)),
            acceptor.accept(asked(str(uuid4()), student)),
            acceptor.accept(asked(str(uuid4()), student, key="k")),
            acceptor.accept(asked(course, student, key="k")),
            return_exceptions=True,
        )

    answers = with_acceptor(tight, ask)
    assert [type(answer) for answer in answers] == [
        Place,
        QueueFullError,
        StudentLimitError,
        KeyConflictError,
        Repeated,
    ]


def test_a_full_queue_says_when_half_of_it_will_be_done(
    redis_client: redis.Redis, settings: Settings
) -> None:
    """P8: Retry-After follows from the length and the pace, and is at least a second."""
    course = str(uuid4())
    redis_client.rpush(keys.queue(course), *range(100))
    redis_client.hset(keys.course(course), "pace_us", 200_000)
    tight = settings.model_copy(update={"queue_limit": 100})
    with pytest.raises(QueueFullError) as raised:
        with_acceptor(tight, lambda acceptor: acceptor.accept(asked(course)))
    assert raised.value.retry_after_s == 11


def test_a_redis_that_has_forgotten_the_script_is_taught_again(
    redis_client: redis.Redis, settings: Settings
) -> None:
    """After SCRIPT FLUSH, or a restart, nobody notices."""
    course = str(uuid4())

    async def flush_between(acceptor: Acceptor) -> list[int]:
        sequences = []
        for _ in range(3):
            redis_client.script_flush()
            places = await asyncio.gather(*[acceptor.accept(asked(course)) for _ in range(3)])
            sequences += [place.sequence for place in places if isinstance(place, Place)]
        return sequences

    assert with_acceptor(settings, flush_between) == list(range(1, 10))


def test_too_few_replicas_are_no_acceptance(redis_client: redis.Redis, settings: Settings) -> None:
    """ACCEPT_REPLICAS: without a replica that has it on disk, the answer is 503; repeating it leads to the same place."""
    strict = settings.model_copy(update={"accept_replicas": 1, "accept_replicas_timeout_ms": 50})
    course, student = str(uuid4()), str(uuid4())
    with pytest.raises(QueueUnavailableError, match="replicas"):
        with_acceptor(strict, lambda acceptor: acceptor.accept(asked(course, student)))
    answer = with_acceptor(settings, lambda acceptor: acceptor.accept(asked(course, student)))
    assert isinstance(answer, Repeated)
    assert redis_client.llen(keys.queue(course)) == 1


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[LocalValkey]:
    """A Valkey of this test's own, to stop and start."""
    with LocalValkey(tmp_path / "data", free_port()) as server:
        yield server


def test_without_redis_it_is_unavailable_at_once_and_goes_on_after_a_restart(
    own_redis: LocalValkey, settings: Settings
) -> None:
    """P2 and P8: an error within moments, never a hang; what was accepted before the kill is still there after it."""
    mine = settings.model_copy(update={"redis_url": own_redis.url})
    course = str(uuid4())

    async def outage(acceptor: Acceptor) -> float:
        await acceptor.accept(asked(course))
        own_redis.kill()
        started = time.monotonic()
        refused = await asyncio.gather(
            *[acceptor.accept(asked(course)) for _ in range(20)], return_exceptions=True
        )
        took_s = time.monotonic() - started
        assert {type(answer) for answer in refused} == {QueueUnavailableError}
        own_redis.start()
        place = await acceptor.accept(asked(course))
        assert isinstance(place, Place)
        assert (place.sequence, place.ahead) == (2, 1)
        return took_s

    assert with_acceptor(mine, outage) < 1.5
    with sync_client(mine) as client:
        assert client.llen(keys.queue(course)) == 2


def test_a_redis_that_hangs_is_unavailable_within_its_time_limit(
    own_redis: LocalValkey, settings: Settings
) -> None:
    """P8: frozen, it costs each caller `redis_timeout_ms` and a little, however many ask."""
    mine = settings.model_copy(update={"redis_url": own_redis.url, "redis_timeout_ms": 250})

    async def freeze(acceptor: Acceptor) -> float:
        await acceptor.accept(asked(str(uuid4())))
        with sync_client(mine) as client:
            client.client_pause(10_000)
        started = time.monotonic()
        crowd = [acceptor.accept(asked(str(uuid4()))) for _ in range(6 * BATCH_SIZE_MAX)]
        refused = await asyncio.gather(*crowd, return_exceptions=True)
        assert {type(answer) for answer in refused} == {QueueUnavailableError}
        return time.monotonic() - started

    assert with_acceptor(mine, freeze) < 2


def test_a_key_that_keeps_redis_from_accepting_is_logged_by_its_name_and_once(
    redis_client: redis.Redis, settings: Settings
) -> None:
    """Otherwise nobody would know why all that students see is 503."""
    course = str(uuid4())
    redis_client.set(keys.course(course), "no hash")

    async def ask(acceptor: Acceptor) -> list[object]:
        calls = [acceptor.accept(asked(course)) for _ in range(3)]
        at_once = await asyncio.gather(*calls, return_exceptions=True)
        return [*at_once, *await asyncio.gather(acceptor.accept(asked(course)), return_exceptions=True)]

    with capture_logs() as lines:
        refused = with_acceptor(settings, ask)
    assert [type(error) for error in refused] == [QueueUnavailableError] * 4
    told = [(line["event"], line["problem"]) for line in lines if line["log_level"] == "error"]
    assert told == [("Redis refused to accept", str(refused[0]))]
    assert str(refused[0]).startswith(f"{keys.course(course)}: WRONGTYPE")
