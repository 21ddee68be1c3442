"""Killing, freezing and poisoning the system under load, and counting afterwards."""
