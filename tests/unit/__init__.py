"""Tests of single modules, without any server."""
