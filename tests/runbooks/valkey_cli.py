"""`valkey-cli [-e] -u URL COMMAND …`, as far as runbooks use it, for machines that have none: the wheel brings only the server."""

import argparse
import sys

import redis


def main() -> None:
    """Send one command and print the reply plainly; a reply that is an error is exit code 1 with -e, as there."""
    parser = argparse.ArgumentParser(prog="valkey-cli", add_help=False)
    parser.add_argument("-e", action="store_true", dest="errors_count")
    parser.add_argument("-u", dest="url", required=True)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    try:
        print(send(given.url, given.command))  # noqa: T201 - a command line program
    except redis.exceptions.ConnectionError as error:
        sys.exit(str(error))
    except redis.exceptions.ResponseError as error:
        print(error)  # noqa: T201
        sys.exit(1 if given.errors_count else 0)


def send(url: str, command: list[str]) -> str:
    """The reply as the server gives it, not as the client library would read it."""
    connection = redis.ConnectionPool.from_url(url).get_connection()
    connection.send_command(*command)
    reply = connection.read_response()
    return reply.decode() if isinstance(reply, bytes) else str(reply)


if __name__ == "__main__":
    main()
