"""Scenario `refresh`: my-courses and status over and over, as from people who do not trust the page."""

from http import HTTPStatus

from locust import tag, task
from student import Student


class Refresher(Student):
    """Has asked for one course, and presses F5 ever since."""

    weight = 4
    gap_s = (0.1, 0.5)

    def on_start(self) -> None:
        """Ask for something worth watching."""
        super().on_start()
        self._etags: dict[str, str] = {}
        course_id = self.courses.pick()
        asked = self.register(course_id)
        self._request = f"/requests/{asked.request_id}" if asked.request_id else "/requests"
        course = self.get(f"/courses/{course_id}", "/courses/{id}")
        self._mine = f"/semesters/{course['semester_id']}/my-courses"

    @tag("refresh")
    @task(6)
    def my_courses(self) -> None:
        """See what one has got."""
        self._refresh(self._mine, "/semesters/{id}/my-courses")

    @tag("refresh")
    @task(3)
    def status(self) -> None:
        """See whether it is still so."""
        self._refresh(self._request, "/requests/{id}")

    @tag("refresh")
    @task(1)
    def requests(self) -> None:
        """See what one has asked for."""
        self._refresh("/requests", "/requests")

    def _refresh(self, path: str, name: str) -> None:
        """GET, conditional where the server names versions, as a browser does."""
        headers = dict(self.authorization)
        if path in self._etags:
            headers["If-None-Match"] = self._etags[path]
        with self.client.get(path, name=name, headers=headers, catch_response=True) as response:
            if response.status_code == HTTPStatus.NOT_MODIFIED:
                response.success()
            elif "ETag" in (response.headers or {}):
                self._etags[path] = response.headers["ETag"]
