"""The workers: each owns some shards and applies their courses' queues, in order, to PostgreSQL."""
