"""Peer: the same rows in the same tables, in batches, by a bare psycopg2 loop without a queue, rules or answers.

`python -m bench.peers.batched_loop FILE`: a JSON line (request, course, student, generation, sequence, accepted at) each.
What it does per second is about the most that one session can have PostgreSQL keep.
"""

import json
import sys
from collections import Counter
from pathlib import Path

import psycopg2
from psycopg2.extras import execute_values

from shared.settings import load_settings

BATCH_SIZE = 400

LOCK = "SELECT id FROM courses WHERE id = ANY(%s::uuid[]) ORDER BY id FOR UPDATE"
PLACES = "INSERT INTO course_registrations (student_id, course_id, status) VALUES %s"
LEDGER = """
    INSERT INTO registration_requests
           (request_id, course_id, student_id, operation, generation, sequence, accepted_at, applied_at, applied_index,
            status, result, worker)
    VALUES %s
"""
LEDGER_ROW = "(%s, %s, %s, 'REGISTER', %s, %s, %s, now(), %s, 'APPLIED', 'ENROLLED', 'loop')"
COUNTS = """
    UPDATE courses c SET enrolled_count = enrolled_count + added, applied_count = applied_count + added
      FROM (VALUES %s) AS more (course_id, added) WHERE c.id = more.course_id::uuid
"""


def main() -> None:
    """Write everything, one transaction per batch."""
    lines = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
    requests = [json.loads(line) for line in lines]
    connection = psycopg2.connect(load_settings().database_url)
    with connection.cursor() as cursor:
        for start in range(0, len(requests), BATCH_SIZE):
            _write(cursor, requests[start : start + BATCH_SIZE])
            connection.commit()
    connection.close()


def _write(cursor: psycopg2.extensions.cursor, batch: list[list[str]]) -> None:
    added = Counter(course_id for _, course_id, *_ in batch)
    cursor.execute(LOCK, (list(added),))
    places = [(student_id, course_id) for _, course_id, student_id, *_ in batch]
    execute_values(cursor, PLACES, places, "(%s, %s, 'ENROLLED')", BATCH_SIZE)
    # Nobody else applies requests here, so a request's sequence is its index.
    rows = [(*request, request[4]) for request in batch]
    execute_values(cursor, LEDGER, rows, LEDGER_ROW, BATCH_SIZE)
    execute_values(cursor, COUNTS, list(added.items()), page_size=BATCH_SIZE)


if __name__ == "__main__":
    main()
