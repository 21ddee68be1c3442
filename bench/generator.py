"""The load generator, a process of its own: `python -m bench.generator LOAD REPORT` says ready, and runs on a go.

Lean, because it shares the machine with what it measures; how much of a core it took is part of its report.
"""

import asyncio
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import uvloop
from hdrh.histogram import HdrHistogram

from bench.streams import Load, LoadReport, Stream, StreamReport
from scripts.http_client import HttpClient, Response

CONNECTIONS_MAX = 3_000
TIMEOUT_S = 60.0
WARM_UP_CLIENTS = 32
LATENCY_MAX_US = 120_000_000
SIGNIFICANT_DIGITS = 3
PERCENTILES = (50, 75, 90, 95, 99, 99.9, 100)


class Tally:
    """What has become of one stream's calls so far."""

    def __init__(self) -> None:
        self.finished = 0
        self.statuses: Counter[str] = Counter()
        self.results: Counter[str] = Counter()
        self.request_ids: list[str] = []
        self.histogram = HdrHistogram(1, LATENCY_MAX_US, SIGNIFICANT_DIGITS)
        self.last_at = 0.0

    def count(self, response: Response, planned_at: float) -> None:
        """Count an answer. Refusals (4xx, 5xx) are counted, but are no finished calls and have no latency."""
        self.statuses[str(response.status)] += 1
        self.last_at = time.perf_counter()
        if response.status >= 300:
            return
        self.finished += 1
        self.histogram.record_value(max(1, int((self.last_at - planned_at) * 1_000_000)))


class Runner:
    """Runs one stream."""

    def __init__(self, client: HttpClient, stream: Stream) -> None:
        self._client = client
        self._stream = stream
        self._body = stream.body.encode()
        self._calls = iter(stream.calls)
        self._sent = 0
        self.tally = Tally()

    async def run(self) -> StreamReport:
        """Send everything, wait for the answers, and report."""
        started_at = time.perf_counter()
        if self._stream.clients:
            await asyncio.gather(*(self._call_in_turn(started_at) for _ in range(self._stream.clients)))
        else:
            await self._call_as_they_arrive(started_at)
        return self._report(started_at)

    async def _call_in_turn(self, started_at: float) -> None:
        deadline = started_at + self._stream.duration_s
        for path, token in self._calls:
            now = time.perf_counter()
            if now > deadline:
                return
            await self._call(path, token, now)

    async def _call_as_they_arrive(self, started_at: float) -> None:
        """Independent arrivals: gaps are exponential, and nobody waits for somebody else's answer."""
        under_way = []
        for planned_s, (path, token) in zip(self._arrivals(), self._calls, strict=False):
            ahead_s = started_at + planned_s - time.perf_counter()
            if ahead_s > 0:
                await asyncio.sleep(ahead_s)
            under_way.append(asyncio.create_task(self._call(path, token, started_at + planned_s)))
        await asyncio.gather(*under_way)

    def _arrivals(self) -> Iterator[float]:
        chance = random.Random(1)
        planned_s = 0.0
        while planned_s < self._stream.duration_s:
            yield planned_s
            planned_s += chance.expovariate(self._stream.rate_per_s)

    async def _call(self, path: str, token: str, planned_at: float) -> None:
        headers = dict(self._stream.headers)
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self._sent += 1
        try:
            response = await self._client.request(self._stream.method, path, headers, self._body)
            if self._stream.until_final:
                response = await self._follow(response, headers)
        except OSError as error:
            self.tally.statuses[type(error).__name__] += 1
            return
        self.tally.count(response, planned_at)

    async def _follow(self, response: Response, headers: dict[str, str]) -> Response:
        """Stay with a registration until it is decided, and note what became of it."""
        document = json.loads(response.body)
        if "request_id" in document:
            self.tally.request_ids.append(document["request_id"])
        while document.get("status") == "QUEUED":
            self._sent += 1
            poll = {"Authorization": headers["Authorization"]}
            location = f"/requests/{document['request_id']}?wait=20"
            response = await self._client.request("GET", location, poll)
            document = json.loads(response.body)
        self.tally.results[str(document.get("result") or document.get("reason"))] += 1
        return response

    def _report(self, started_at: float) -> StreamReport:
        histogram = self.tally.histogram
        return StreamReport(
            name=self._stream.name,
            finished=self.tally.finished,
            elapsed_s=max(0.0, self.tally.last_at - started_at),
            calls=self._sent,
            statuses=dict(self.tally.statuses),
            results=dict(self.tally.results),
            request_ids=self.tally.request_ids,
            percentiles_ms={
                f"{percent:g}": histogram.get_value_at_percentile(percent) / 1000 for percent in PERCENTILES
            },
        )


async def warm_up(client: HttpClient, load: Load) -> None:
    """Make the warm-up calls: they open connections, and show the server every token once."""
    calls = iter(load.warm_up)

    async def call_in_turn() -> None:
        for path, token in calls:
            await client.request("POST", path, {"Authorization": f"Bearer {token}"})

    await asyncio.gather(*(call_in_turn() for _ in range(WARM_UP_CLIENTS)))


async def run(load: Load) -> LoadReport:
    """Warm up, wait for the go on standard input, and run every stream."""
    async with HttpClient(load.base_url, CONNECTIONS_MAX, TIMEOUT_S) as client:
        await warm_up(client, load)
        runners = [Runner(client, stream) for stream in load.streams]
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        started_at, processor_s = time.perf_counter(), time.process_time()
        reports = await asyncio.gather(*(runner.run() for runner in runners))
        elapsed_s = time.perf_counter() - started_at
        cores = (time.process_time() - processor_s) / elapsed_s
        return LoadReport({report.name: report for report in reports}, elapsed_s, cores)


def main() -> None:
    """Read a load from one file, run it, write the report to another."""
    load_path, report_path = map(Path, sys.argv[1:])
    load = Load.from_json(load_path.read_text(encoding="utf-8"))
    report_path.write_text(uvloop.run(run(load)).to_json(), encoding="utf-8")


if __name__ == "__main__":
    main()
