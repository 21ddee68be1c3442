"""What the API and the worker both stand on: rules, settings, storage, queue, security."""
