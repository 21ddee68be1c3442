"""Tests of single parts against real PostgreSQL and Valkey servers."""
