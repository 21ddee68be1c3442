"""The HTTP API: takes requests into the queues and tells what became of them."""
