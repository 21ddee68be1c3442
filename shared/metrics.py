"""Every metric by name, unit and meaning: what processes count as they go, and what is read at the moment of a scrape.

Times are in seconds. Labels take few values: never a student, a request, or a course without a bound on how many.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from prometheus_client import Counter, Gauge, Histogram, Summary, disable_created_metrics
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

# When each series began is of no use here and would be half of them.
disable_created_metrics()  # type: ignore[no-untyped-call]

# From one quick round to clients that have long stopped waiting.
LATENCY_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
ROUND_BUCKETS_S = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
# A request that cannot be read does not tell what it asks for.
UNKNOWN = "unknown"
ROUND_BUCKETS = (1, 2, 5, 10, 25, 50, 100, 200, 400, 1000)

ACCEPTED = Counter("registration_accepted", "Requests given a place in their order (202).", ["operation"])
REPEATED = Counter("registration_repeated", "Submissions that repeat an accepted request.", ["operation"])
REFUSED = Counter("registration_refused", "Submissions refused, by problem code.", ["reason"])
PROBLEMS = Counter("registration_problems", "HTTP calls answered with a problem, by its code.", ["code"])

LOGINS = Counter(
    "registration_logins", "Logins by result: ok, wrong, busy (pool full), throttled.", ["result"]
)
LOGINS_WAITING = Gauge(
    "registration_logins_waiting",
    "Logins that wait to be hashed.",
    ["pool"],
    multiprocess_mode="livesum",
)
LOGINS_HASHING = Gauge(
    "registration_logins_hashing",
    "Logins whose password is being hashed.",
    ["pool"],
    multiprocess_mode="livesum",
)

OUTCOMES = Counter(
    "registration_outcomes",
    "Requests decided and published; after a crash some are published again.",
    ["operation", "status", "result", "reason"],
)
LATENCY = Histogram(
    "registration_latency_seconds",
    "From acceptance to the published outcome, by the clocks of Redis and the worker.",
    ["operation"],
    buckets=LATENCY_BUCKETS_S,
)
ROUND_SIZE = Histogram("registration_round_requests", "Requests per round.", ["end"], buckets=ROUND_BUCKETS)
ROUND_TIME = Histogram(
    "registration_round_seconds",
    "Time of a round by part: peek (Redis), apply (PostgreSQL, with the commit), publish (Redis).",
    ["part"],
    buckets=ROUND_BUCKETS_S,
)
SHARD_CHANGES = Counter(
    "registration_shard_changes",
    "Shards a worker gained (took over), handed back, or lost with its session.",
    ["change"],
)
RETRIES = Counter("registration_retries", "Turns of a worker that failed, by the part at fault.", ["part"])
RETRY_PARTS = ("PostgreSQL", "Redis", "worker")
HELD_COURSES = Gauge(
    "registration_held_courses",
    "Courses that stand still in a worker's hands: their own rows are damaged, or another release must read them.",
    ["reason"],
)
HELD_REASONS = ("damaged", "other_release")

POSTGRESQL_TIME = Summary(
    "registration_postgresql_seconds", "PostgreSQL round trips by statement.", ["statement"]
)
REDIS_TIME = Summary("registration_redis_seconds", "Redis round trips by operation.", ["operation"])
SURVEY_TIME = Summary("rq_request_processing_seconds", "Reading the system's state for a scrape.", ["part"])


@dataclass(frozen=True, slots=True)
class Reading:
    """A metric that is read when Prometheus asks, the same in every process; `name` is the one on the wire."""

    name: str
    meaning: str
    labels: tuple[str, ...]
    counter: bool = False

    def family(self, samples: Iterable[tuple[Sequence[str], float]]) -> Metric:
        """The metric with these (label values, value) samples."""
        kind = CounterMetricFamily if self.counter else GaugeMetricFamily
        family = kind(self.name, self.meaning, labels=self.labels)
        for labels, value in samples:
            family.add_metric(labels, value)
        return family


READY = Reading("registration_ready", "1 while the part answers and is fit for use.", ("part",))
WORKERS_PAUSED = Reading(
    "registration_workers_paused", "1 while an operator keeps the workers from applying anything.", ()
)
SHARD_WAITING = Reading("registration_shard_waiting_requests", "Requests waiting per shard.", ("shard",))
SHARD_OLDEST = Reading("registration_shard_oldest_seconds", "Age of a shard's oldest request.", ("shard",))
SHARD_OWNED = Reading("registration_shard_owned", "1 while a worker owns the shard.", ("shard",))
WORKER_SHARDS = Reading("registration_worker_shards", "Shards a worker owns.", ("worker",))
COURSE_WAITING = Reading(
    "registration_course_waiting_requests", "Requests waiting, longest queues only.", ("course", "course_id")
)
COURSE_OLDEST = Reading(
    "registration_course_oldest_seconds", "Age of the oldest request, same courses.", ("course", "course_id")
)
REDIS_MEMORY = Reading("registration_redis_memory_bytes", "Redis memory, used and max.", ("kind",))

# The names and labels of rq-exporter, so that dashboards made for it work.
RQ_JOBS = Reading("rq_jobs", "RQ jobs by queue and status.", ("queue", "status"))
RQ_WORKERS = Reading("rq_workers", "RQ workers.", ("name", "state", "queues"))
RQ_SUCCEEDED = Reading(
    "rq_workers_success_total", "Jobs a worker finished.", ("name", "queues"), counter=True
)
RQ_FAILED = Reading("rq_workers_failed_total", "Jobs that failed.", ("name", "queues"), counter=True)
RQ_WORKING_TIME = Reading(
    "rq_workers_working_time_total", "Seconds a worker worked.", ("name", "queues"), counter=True
)
