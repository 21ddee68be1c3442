"""The only place that speaks Redis and RQ: the order of requests, and what still waits. `keys` lists every key."""
