"""The places the drill looks at, each as a check: readiness, commands, API, logs, RQ dashboard, metrics, alerts."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from scripts.drill_dashboard import DrillDashboard
from scripts.drill_metrics import DrillMetrics
from scripts.drill_prometheus import NONE, LocalPrometheus
from scripts.drill_signals import Check
from scripts.drill_stack import DrillStack

IMPATIENT_REPEATS = 5


@dataclass(slots=True)
class Looks:
    """Makes checks on one system; `prometheus` is None where it is not installed, and then no alert is checked."""

    stack: DrillStack
    dashboard: DrillDashboard
    metrics: DrillMetrics
    prometheus: LocalPrometheus | None
    course_ids: dict[str, str] = field(default_factory=dict)
    _marks: dict[str, int] = field(default_factory=dict)

    def mark(self) -> None:
        """What was logged and counted up to now belongs to earlier steps."""
        self._marks = {name: len(self.stack.log(name)) for name in ("api", "workers")}
        self.metrics.mark()

    def ready(self, expected: str) -> Check:
        """What readiness says."""
        return Check("GET /health/ready", expected, lambda: self.stack.call("GET", "/health/ready"))

    def top(self, what: str, expected: str) -> Check:
        """What `manage top` shows of something."""
        return Check(f"manage top: {what}", expected, lambda: self.stack.manage("top", "--once"))

    def top_json(self) -> str:
        """`manage top` for programs."""
        return self.stack.manage("top", "--json")

    def manage(self, command: str, expected: str) -> Check:
        """What another command says or does."""
        return Check(f"manage {command}", expected, lambda: self.stack.manage(*command.split()))

    def log(self, name: str, expected: str) -> Check:
        """What the `api` or the `workers` have logged in this step."""
        return Check(f"log of the {name}", expected, lambda: self.stack.log(name)[self._marks.get(name, 0) :])

    def submit(self, what: str, student: int, course: str, expected: str) -> Check:
        """What a student's request is answered at once."""
        return Check(f"POST register: {what}", expected, lambda: self.post(student, course))

    def register(self, what: str, student: int, course: str, expected: str) -> Check:
        """Submitted with `Prefer: wait`, and looked at again as the student's client would: by repeating."""
        return Check(f"register and wait: {what}", expected, lambda: self.post(student, course, wait_s=10))

    def post(self, student: int, course: str, wait_s: int | None = None) -> str:
        """One submission and its answer."""
        path = f"/courses/{self.course_ids[course]}/register"
        preference = {} if wait_s is None else {"Prefer": f"wait={wait_s}"}
        return self.stack.call("POST", path, student, headers=preference)

    def log_in(self, expected: str) -> Check:
        """What a login is answered."""
        return Check("logins", expected, self._log_in)

    def _log_in(self) -> str:
        credentials = {"student_number": "STU001", "password": "test123"}
        answer = self.stack.call("POST", "/auth/login", json=credentials)
        # A token belongs into no log, not even one of this system.
        return re.sub(r'"access_token":"[^"]*"', '"access_token":"(hidden)"', answer)

    def queues_page(self, expected: str) -> Check:
        """What the RQ dashboard's overview lists, from the top."""
        return Check("RQ dashboard: overview", expected, self.dashboard.queues)

    def workers_page(self, expected: str) -> Check:
        """What its list of workers says."""
        return Check("RQ dashboard: workers", expected, self.dashboard.workers)

    def front_page(self, expected: str) -> Check:
        """What it answers to whoever opens it."""
        return Check("RQ dashboard: its page", expected, self.dashboard.page)

    def metric(self, name: str, wanted: float | None, **labels: str) -> Check:
        """The metric, summed over its series with these labels, is this much now; None: it is left out."""
        expected = "is left out" if wanted is None else f"is {wanted:g} now"
        return Check(_titled(name, labels), expected, lambda: self.metrics.now(name, **labels))

    def moved(self, name: str, at_least: int, **labels: str) -> Check:
        """The counter has moved by this much or more in this step."""
        expected = f"at least {at_least} more"
        return Check(_titled(name, labels), expected, lambda: self.metrics.moved(name, at_least, **labels))

    def targets(self) -> list[Check]:
        """Prometheus has reached every target; before that no alert could be active."""
        prometheus = self.prometheus
        if prometheus is None:
            return []
        every = sum(map(len, self.stack.metrics_ports.values()))
        return [Check("Prometheus: targets", f"{every} of {every} up", prometheus.targets)]

    def alerts(self, *expected: str) -> list[Check]:
        """The alerts as Prometheus tells them, such as `RedisNotReady firing`; without any: none is active."""
        return self._alerts("alerts", expected or (NONE,), _nothing)

    def alerts_of_impatience(self, student: int, course: str, *expected: str) -> list[Check]:
        """The same, while a client goes on repeating what is refused."""

        def insist() -> None:
            for _repeat in range(IMPATIENT_REPEATS):
                self.post(student, course)

        return self._alerts("alerts, while clients insist", expected, insist)

    def _alerts(self, signal: str, expected: tuple[str, ...], meanwhile: Callable[[], None]) -> list[Check]:
        prometheus = self.prometheus
        if prometheus is None:
            return []

        def look() -> str:
            meanwhile()
            return prometheus.alerts()

        return [Check(signal, each, look) for each in expected]


def _titled(name: str, labels: dict[str, str]) -> str:
    told = ",".join(f'{label}="{value}"' for label, value in labels.items())
    return f"metrics: {name}{{{told}}}" if told else f"metrics: {name}"


def _nothing() -> None:
    """Nobody does anything while it is looked."""
