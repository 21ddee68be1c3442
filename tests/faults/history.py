"""The client-side log: what was sent when and what came back when, one JSON line per event, only ever appended.

| event | fields besides `event` and `at_ns` |
|---|---|
| `sent` | `call`, `method`, `student_id`; a submission has `course_id`, `operation`, `key`, a look has `request_id` |
| `answered` | `call`, `status`, and `document` (status 200 and 202) or `text` |
| `unanswered` | `call`, `problem`: the connection broke or the client gave up |
| `damaged` | `request_id`, `how`: a test destroyed this request on purpose, so that FAILED is its right end |
| `edge` | `course_id`: its window has an edge that a test put the API's clock on the wrong side of, so that the API may refuse at once what is in time by Redis' clock |

Times are nanoseconds of the machine's monotonic clock, so that logs of several clients of one machine can be merged.
"""

import itertools
import json
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

DOCUMENT_STATUSES = (200, 202)


class History:
    """One log file, open for appending. Threads may share it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("a", buffering=1, encoding="utf-8")
        self._lock = threading.Lock()
        self._calls = itertools.count(1)
        # Call numbers stay unique when several logs are read together.
        self._prefix = f"{path.stem}-{time.monotonic_ns():x}"

    def sent(self, method: str, **what: Any) -> str:
        """A call is about to be sent; returns its number."""
        with self._lock:
            call = f"{self._prefix}-{next(self._calls)}"
        self._write("sent", call=call, method=method, **what)
        return call

    def answered(self, call: str, status: int, text: str) -> None:
        """A call was answered."""
        if status in DOCUMENT_STATUSES:
            self._write("answered", call=call, status=status, document=json.loads(text))
        else:
            self._write("answered", call=call, status=status, text=text)

    def unanswered(self, call: str, problem: str) -> None:
        """A call got no answer; it may have had its effect all the same."""
        self._write("unanswered", call=call, problem=problem)

    def damaged(self, request_id: str, how: str) -> None:
        """A request was destroyed on purpose."""
        self._write("damaged", request_id=request_id, how=how)

    def edge(self, course_id: str) -> None:
        """The API's clock is put on the wrong side of an edge of this course's window."""
        self._write("edge", course_id=course_id)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, event: str, **fields: Any) -> None:
        with self._lock:
            line = json.dumps({"at_ns": time.monotonic_ns(), "event": event, **fields})
            self._file.write(line + "\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
