"""Every error of our own; the docstring of a class is its default message.

Refusals (course full, window closed) are no errors but outcomes: see `shared.rules`.
"""


class RegistrationSystemError(Exception):
    """The registration system failed."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())


class OperationalError(RegistrationSystemError):
    """A part we depend on is away or slow; the same call may succeed later."""


class QueueUnavailableError(OperationalError):
    """Redis did not answer, so nothing can be accepted or looked up there now."""


class DatabaseUnavailableError(OperationalError):
    """PostgreSQL did not answer."""


class UnsafeRedisError(RegistrationSystemError):
    """Redis is not configured to keep what it acknowledges."""


class QueueShardsError(RegistrationSystemError):
    """QUEUE_SHARDS is not the number of shards that the running system has."""

    def __init__(self, wanted: int, agreed: int, courses: int, processes: int) -> None:
        super().__init__(
            f"QUEUE_SHARDS is {wanted}, but the system runs with {agreed} shards: {courses} courses have requests"
            f" waiting and {processes} processes of it are running. Set QUEUE_SHARDS={agreed}, or see"
            ' "Changing QUEUE_SHARDS" in docs/runbooks/rolling-upgrade.md'
        )


class TracesUnavailableError(RegistrationSystemError):
    """OTLP_ENDPOINT asks for traces, and the packages of requirements-otel.txt are not installed (docs/metrics.md)."""


class QueueFullError(RegistrationSystemError):
    """The course has as many requests waiting as it may have."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__()
        self.retry_after_s = retry_after_s


class StudentLimitError(RegistrationSystemError):
    """The student has as many requests waiting as one student may have."""


class KeyConflictError(RegistrationSystemError):
    """The Idempotency-Key was already used for another request."""


class InvalidTokenError(RegistrationSystemError):
    """The token is missing, forged, expired or not one of ours."""


class PasswordTooLongError(RegistrationSystemError):
    """A password may have at most 72 bytes in UTF-8."""


class ImportFileError(RegistrationSystemError):
    """The file was not imported."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
