"""The whole system over HTTP: every process real, nothing mocked."""
