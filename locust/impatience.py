"""Scenario `impatient`: one wish sent 5 to 50 times, ten at a time, as from several tabs; it must stay one request."""

import random
from http import HTTPStatus
from uuid import uuid4

from calls import BUSY
from gevent.pool import Pool
from locust import tag, task
from promises import promises
from student import Student

REPEATS_MIN, REPEATS_MAX = 5, 50
TABS = 10


class Impatient(Student):
    """Presses the button until something happens."""

    weight = 1
    gap_s = (1.0, 5.0)

    @tag("impatient")
    @task
    def insist(self) -> None:
        """Repeat the same request while it is under way; every answer must name the same one."""
        course_id, key = self.courses.pick(), str(uuid4())
        tabs = Pool(TABS)
        repeats = [
            tabs.spawn(self._repeat, course_id, key) for _ in range(random.randint(REPEATS_MIN, REPEATS_MAX))
        ]
        try:
            asked = self.register(course_id, key)
            tabs.join()
        finally:
            tabs.kill(block=False)
        named = {repeat.value for repeat in repeats} - {None}
        if asked.request_id and named:
            one = named == {asked.request_id}
            failure = None if one else AssertionError(f"{len(named)} requests for one Idempotency-Key")
            self.report("CHECK", "repeats name one request", 0, failure)

    def _repeat(self, course_id: str, key: str) -> str | None:
        """Send it once more; the id it is known by, or None when the server has enough of this."""
        headers = self.authorization | {"Idempotency-Key": key}
        path, name = f"/courses/{course_id}/register", "/courses/{id}/register (repeat)"
        with self.client.post(path, name=name, headers=headers, catch_response=True) as response:
            if response.status_code in BUSY or response.status_code == HTTPStatus.CONFLICT:
                response.success()
            if response.status_code not in {HTTPStatus.OK, HTTPStatus.ACCEPTED}:
                return None
            request_id = str(response.json()["request_id"])
            promises.accepted(self.token, request_id)
            return request_id
