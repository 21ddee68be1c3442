"""The gate that shows the tests can fail: bugs planted one at a time, each of which a named test must find."""
