"""Peer: bare durable enqueueing, a hash and a list element per request in pipelines, without order, checks or answers."""

import time
from uuid import uuid4

import redis

PIPELINE_SIZE = 128


def enqueue_rate_per_s(client: redis.Redis, count: int) -> float:
    """Enqueue so many requests; returns how many per second were durable. `client` talks to an empty Redis."""
    payload = "x" * 300
    started_at = time.perf_counter()
    for _ in range(count // PIPELINE_SIZE):
        with client.pipeline(transaction=False) as pipeline:
            for _ in range(PIPELINE_SIZE):
                request_id = str(uuid4())
                pipeline.hset(f"job:{request_id}", "data", payload)
                pipeline.rpush("queue", request_id)
            pipeline.execute()
    return count // PIPELINE_SIZE * PIPELINE_SIZE / (time.perf_counter() - started_at)
