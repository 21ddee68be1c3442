"""Contests about applying alone: the requests wait already, and one process applies them.

The rate is read off the rows: those of every transaction but the last, over the time from the first transaction's start to
the last one's. Starting a process is in nobody's figure.
"""

import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from uuid import uuid4

from redis import Redis
from rq import Queue
from rq.serializers import JSONSerializer

from bench import verdicts
from bench.contestants import server_pids, started
from bench.draining import applied_count, fill, wait_until_applied
from bench.ground import Ground
from bench.peers import rq_jobs
from bench.peers.raw_enqueue import enqueue_rate_per_s
from bench.processor import processor_times
from bench.trials import Trial

APPLY, ENQUEUE = "applied by one process", "made durable in Redis"
OUR_WORKER, SIMPLE_WORKER, FORKING_WORKER = "our worker", "rq.SimpleWorker", "rq.Worker (forks)"
BATCHED_LOOP, RAW_ENQUEUE = "raw batched loop", "raw Redis enqueue"

Asks = Sequence[tuple[str, str]]
"""(student id, course id) each."""

TRANSACTIONS = """
    SELECT created_at, count(*) FROM course_registrations
     WHERE course_id = ANY(CAST(:course_ids AS uuid[])) AND created_at >= :since
     GROUP BY created_at ORDER BY created_at
"""


def draw(ground: Ground, count: int, course_ids: Sequence[str], skip: int = 0) -> Asks:
    """Registrations for the courses, spread evenly at random; nobody asks twice."""
    chance = random.Random(11)
    students = [student.student_id for student in ground.students]
    pairs = ((student, course) for course in course_ids for student in students[skip:])
    if len(course_ids) == 1:
        return [pair for _, pair in zip(range(count), pairs, strict=False)]
    drawn: dict[tuple[str, str], None] = {}
    while len(drawn) < count:
        drawn[chance.choice(students[skip:]), chance.choice(course_ids)] = None
    return list(drawn)


def our_worker(ground: Ground, name: str, asks: Asks, **settings: str) -> Trial:
    """One worker of ours on queues that are full at the start."""
    ground.empty_redis()
    fill(ground, asks)
    return _applied(ground, name, OUR_WORKER, asks, ["worker"], **settings)


def rq_worker(ground: Ground, name: str, kind: str, asks: Asks) -> Trial:
    """One stock worker, `simple` or `fork`, on one queue of as many jobs."""
    ground.empty_redis()
    with ground.redis() as client:
        _enqueue_jobs(client, asks)
    return _applied(ground, APPLY, name, asks, ["bench.peers.rq_jobs", kind])


def _enqueue_jobs(client: Redis, asks: Asks) -> None:
    queue = Queue(rq_jobs.QUEUE, connection=client, serializer=JSONSerializer)
    for request in requests_of(asks):
        queue.enqueue(rq_jobs.apply_registration, *request)


def requests_of(asks: Asks) -> Iterator[tuple[str, str, str, str, int, str]]:
    """What the accept path would have made of these asks: (request, course, student, generation, sequence, when)."""
    generation, now = str(uuid4()), datetime.now(UTC).isoformat()
    sequences: Counter[str] = Counter()
    for student_id, course_id in asks:
        sequences[course_id] += 1
        yield str(uuid4()), course_id, student_id, generation, sequences[course_id], now


def batched_loop(ground: Ground, asks: Asks) -> Trial:
    """The bare loop, which reads its requests from a file."""
    path = ground.valkey.log_path.with_name("requests.jsonl")
    lines = [json.dumps(request) for request in requests_of(asks)]
    path.write_text("\n".join(lines), encoding="utf-8")
    return _applied(ground, APPLY, BATCHED_LOOP, asks, ["bench.peers.batched_loop", str(path)])


def raw_enqueue(ground: Ground, count: int) -> Trial:
    """The bare enqueueing."""
    ground.empty_redis()
    with ground.redis() as client:
        rate_per_s = enqueue_rate_per_s(client, count)
        problems = [] if client.llen("queue") else ["lost: the queue is empty"]
    return Trial(ENQUEUE, RAW_ENQUEUE, rate_per_s, problems=problems)


def _applied(
    ground: Ground, name: str, contestant: str, asks: Asks, module: Sequence[str], **settings: str
) -> Trial:
    course_ids = sorted({course_id for _, course_id in asks})
    before = applied_count(ground, course_ids)
    since = datetime.now(UTC)
    with started(ground, "worker", module, **settings) as worker:
        wait_until_applied(ground, course_ids, before + 1, worker)
        pids = {"worker": worker.pid, **server_pids(ground)}
        early, early_count = processor_times(pids), applied_count(ground, course_ids)
        wait_until_applied(ground, course_ids, before + len(asks), worker)
        late = processor_times(pids)
    counted = before + len(asks) - early_count
    problems = verdicts.rosters_against_answers(ground, course_ids, before + len(asks))
    problems += verdicts.ledger_against_promises(ground, course_ids, [])
    cost_ms = {}
    # The clock of processor time ticks in hundredths of a second: too coarse for a few requests.
    if counted > len(asks) / 2:
        cost_ms = {part: 1000 * (late[part] - early[part]) / counted for part in pids}
    return Trial(name, contestant, _rate_per_s(ground, course_ids, since), cost_ms=cost_ms, problems=problems)


def _rate_per_s(ground: Ground, course_ids: Sequence[str], since: datetime) -> float:
    transactions = ground.rows(TRANSACTIONS, course_ids=list(course_ids), since=since)
    if len(transactions) < 2:
        return 0.0
    elapsed_s = (transactions[-1][0] - transactions[0][0]).total_seconds()
    return float(sum(count for _, count in transactions[:-1]) / elapsed_s)
