"""Tests on real PostgreSQL and Valkey servers, started from wheels for each test process."""
