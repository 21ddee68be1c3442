"""Every setting of the system: read once from the environment, validated at start, passed in from there."""

import re
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import quote, urlsplit, urlunsplit

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

DEVELOPMENT_SECRET_KEY = "development-only-secret-key-never-use-elsewhere"  # noqa: S105 - refused outside development
SECRET_KEY_LENGTH_MIN = 32
SHARDS_MAX = 1024
# Docker and Kubernetes put secrets here, a file each; a file named like a setting counts where no variable is set.
SECRETS_DIR = Path("/run/secrets")

# What every client library takes apart alike; a mistake that one would guess a host from might show a password.
DATABASE_URL_FORM = re.compile(
    r"(?:postgres|postgresql|postgresql\+psycopg2)://(?:[^:/?#@]*(?::[^/?#@]*)?@)?"
    r"(?:\[[^\]/?]+\]|[^@:/?#\[]*)(?::(?P<port>\d+))?(?:[/?].*)?"
)
REDIS_URL_FORM = re.compile(
    r"rediss?://(?:[^/?#]*@)?(?:\[[^\]/?#]+\]|[^@:/?#\[]*)(?::(?P<port>\d*))?(?:[/?].*)?|unix://.+"
)
PORT_MAX = 65_535
ESCAPED = "with special characters of a password written as in %40"


def secrets_dir() -> Path | None:
    """The directory of secrets, where there is one."""
    return SECRETS_DIR if SECRETS_DIR.is_dir() else None


def with_password(url: str, password: str) -> str:
    """The URL with this password, unless it has one already. Nothing needs to be escaped in a password given apart."""
    parts = urlsplit(url)
    user, _, place = parts.netloc.rpartition("@")
    if not password or ":" in user:
        return url
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{place}"))


class Environment(StrEnum):
    """Where this runs; only development accepts the built-in secret."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


class Settings(BaseSettings):
    """One value per environment variable of the same name, upper case, or per file in the directory of secrets."""

    # What cannot start says why, to a log: without the values, which may be secrets.
    model_config = SettingsConfigDict(
        env_file=".env",
        secrets_dir=secrets_dir(),
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    environment: Environment = Field(
        Environment.DEVELOPMENT, description="`production` refuses the built-in secret."
    )
    database_url: str = Field(
        "postgresql://registration@127.0.0.1:5432/registration",
        repr=False,
        description="PostgreSQL. A direct connection: a transaction pooler breaks shard ownership.",
    )
    database_password: str = Field("", repr=False, description="Completes a DATABASE_URL that has none.")
    database_api_role: str = Field(
        "", description="A role that every migration grants what the API needs, and nothing else."
    )
    database_worker_role: str = Field("", description="The same for the workers.")
    redis_url: str = Field(
        "redis://127.0.0.1:6379/0",
        repr=False,
        description="Redis 7.2+ or Valkey, durable: appendonly yes, appendfsync always, noeviction.",
    )
    redis_password: str = Field("", repr=False, description="Completes a REDIS_URL that has none.")
    secret_key: str = Field(
        DEVELOPMENT_SECRET_KEY, repr=False, description="Signs tokens. At least 32 characters."
    )
    secret_keys_previous: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        repr=False,
        description="Comma-separated keys whose tokens are valid as well, while SECRET_KEY is being changed.",
    )
    allow_unsafe_redis: bool = Field(
        default=False, description="Start although Redis may lose accepted requests. Never in production."
    )
    accept_replicas: Annotated[int, Field(ge=0)] = Field(
        0, description="Replicas that must hold a request on disk before it is answered 202."
    )
    accept_replicas_timeout_ms: Annotated[int, Field(ge=1)] = Field(
        1_000, description="How long a 202 waits for those replicas."
    )
    redis_timeout_ms: Annotated[int, Field(ge=50)] = Field(
        2_000, description="One Redis round trip at the most; past it the answer is 503."
    )

    queue_shards: Annotated[int, Field(ge=1, le=SHARDS_MAX)] = Field(
        64, description="Units of ownership. Change only while nothing waits and nothing runs."
    )
    queue_limit: Annotated[int, Field(ge=1)] = Field(
        10_000, description="Requests waiting per course before it answers 503."
    )
    student_waiting_limit: Annotated[int, Field(ge=1)] = Field(
        50, description="Requests one student may have waiting before it is 429."
    )
    student_submissions_per_minute: Annotated[int, Field(ge=1)] = Field(
        300, description="Submissions one student may make per minute and API process before it is 429."
    )
    idempotency_ttl_s: Annotated[int, Field(ge=60)] = Field(
        86_400, description="How long an Idempotency-Key is remembered."
    )
    finished_ttl_s: Annotated[int, Field(ge=1)] = Field(
        120,
        description="How long the dashboard shows a finished request; the ledger keeps it for good.",
    )
    failed_ttl_s: Annotated[int, Field(ge=1)] = Field(
        604_800, description="How long the dashboard shows a failed request."
    )

    round_size_max: Annotated[int, Field(ge=1)] = Field(
        400, description="Requests per round: long enough to share one fsync, short enough to hand over."
    )
    poll_interval_ms: Annotated[int, Field(ge=1)] = Field(
        50, description="An idle worker looks at its queues this often, hint or no hint."
    )
    ownership_interval_ms: Annotated[int, Field(ge=10)] = Field(
        100, description="How often a worker looks for free shards: the floor of the fail-over time."
    )
    session_timeout_ms: Annotated[int, Field(ge=200)] = Field(
        1_000, description="A worker silent this long loses its session, and with it its shards."
    )
    statement_timeout_ms: Annotated[int, Field(ge=100)] = Field(
        5_000, description="One SQL statement of a worker."
    )
    lock_timeout_ms: Annotated[int, Field(ge=10)] = Field(
        1_000,
        description="How long a round waits for a lock; a course that somebody holds is skipped, not waited for.",
    )
    retry_pause_max_ms: Annotated[int, Field(ge=10)] = Field(
        1_000, description="Longest pause between two tries of the same round."
    )

    token_ttl_s: Annotated[int, Field(ge=60)] = Field(
        43_200, description="A token lasts this long, so students can log in hours before opening."
    )
    bcrypt_cost: Annotated[int, Field(ge=4, le=16)] = Field(
        12, description="Each step doubles the work of a login, and of an attacker."
    )
    login_processes: Annotated[int, Field(ge=1)] = Field(
        1,
        description="Processes per API process that hash passwords, whenever nothing else wants the processor.",
    )
    login_queue_limit: Annotated[int, Field(ge=1)] = Field(
        64, description="Logins waiting to be hashed before the answer is 503."
    )
    login_failures_per_minute: Annotated[int, Field(ge=1)] = Field(
        10, description="Failed logins per account and address before 429."
    )
    login_failures_per_account_per_minute: Annotated[int, Field(ge=1)] = Field(
        50, description="Failed logins per account from addresses it never logged in from before 429."
    )
    login_failures_per_address_per_minute: Annotated[int, Field(ge=1)] = Field(
        600, description="Failed logins per address before 429; a whole campus may share one."
    )

    catalogue_refresh_s: Annotated[float, Field(gt=0)] = Field(
        3.0, description="How old the API's copy of courses and windows may be."
    )
    page_age_s: Annotated[float, Field(ge=0)] = Field(
        2.0, description="How old a page of courses with its live counts may be."
    )
    database_pool_size: Annotated[int, Field(ge=1)] = Field(
        10, description="PostgreSQL connections per API process, opened at its start, for reads."
    )
    read_timeout_ms: Annotated[int, Field(ge=100)] = Field(5_000, description="One SQL statement of the API.")
    wait_max_s: Annotated[int, Field(ge=1, le=30)] = Field(
        30, description="Longest long-poll a client may ask for."
    )
    request_body_max_bytes: Annotated[int, Field(ge=1024)] = Field(
        65_536, description="Larger bodies are answered 413."
    )
    log_level: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR.")
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = Field(
        0,
        description="Where the first worker of a machine shows its metrics, the next one port higher; 0 is nowhere.",
    )
    otlp_endpoint: str = Field(
        "",
        description="Where OpenTelemetry traces go (OTLP over HTTP, such as http://collector:4318); empty is nowhere.",
    )
    otlp_trace_ratio: Annotated[float, Field(ge=0, le=1)] = Field(
        0.01,
        description="The part of the requests that is traced; each costs about 0.1 ms of CPU.",
    )
    metrics_host: str = Field("127.0.0.1", description="The address on which workers show their metrics.")
    metrics_courses_max: Annotated[int, Field(ge=0, le=100)] = Field(
        10, description="How many courses, those with the longest queues, have metrics of their own."
    )

    @model_validator(mode="before")
    @classmethod
    def complete_urls(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Passwords that were given apart become parts of their URLs."""
        for server, form in (("database", DATABASE_URL_FORM), ("redis", REDIS_URL_FORM)):
            url = values.get(f"{server}_url", cls.model_fields[f"{server}_url"].default)
            # What is no URL stays as it is, for the check that names it.
            if _has_form(url, form):
                values[f"{server}_url"] = with_password(url, values.get(f"{server}_password", ""))
        return values

    @field_validator("database_url")
    @classmethod
    def require_database_url(cls, url: str) -> str:
        """PostgreSQL's, and one that can be taken apart."""
        if not _has_form(url, DATABASE_URL_FORM):
            message = f"must look like postgresql://user@host:5432/name, {ESCAPED}"
            raise ValueError(message)
        return url

    @field_validator("redis_url")
    @classmethod
    def require_redis_url(cls, url: str) -> str:
        """One that the client library takes."""
        if not _has_form(url, REDIS_URL_FORM):
            message = f"must look like redis://host:6379/0, rediss://host:6379/0 or unix:///path, {ESCAPED}"
            raise ValueError(message)
        return url

    @field_validator("secret_keys_previous", mode="before")
    @classmethod
    def split_keys(cls, value: object) -> object:
        """The variable holds a list; empty, it holds none."""
        if not isinstance(value, str):
            return value
        return tuple(key.strip() for key in value.split(",")) if value.strip() else ()

    @model_validator(mode="after")
    def refuse_weak_secrets(self) -> Self:
        """Every secret must be long enough, and one's own outside development."""
        production = self.environment is Environment.PRODUCTION
        for name, secrets in (
            ("SECRET_KEY", (self.secret_key,)),
            ("each of SECRET_KEYS_PREVIOUS", self.secret_keys_previous),
        ):
            if any(_is_weak(secret, production=production) for secret in secrets):
                message = f"{name} must be set to at least {SECRET_KEY_LENGTH_MIN} characters of your own"
                raise ValueError(message)
        if self.allow_unsafe_redis and production:
            message = "ALLOW_UNSAFE_REDIS is for development only"
            raise ValueError(message)
        return self

    @property
    def postgresql_url(self) -> str:
        """The database URL without a driver's name."""
        return "postgresql://" + self.database_url.partition("://")[2]

    @property
    def sqlalchemy_url(self) -> str:
        """The database URL with its driver named: SQLAlchemy 2.1 takes a bare `postgresql://` for psycopg 3."""
        for scheme in ("postgresql://", "postgres://"):
            if self.database_url.startswith(scheme):
                return "postgresql+psycopg2://" + self.database_url.removeprefix(scheme)
        return self.database_url


def _has_form(url: str, form: re.Pattern[str]) -> bool:
    found = form.fullmatch(url)
    return found is not None and int(found["port"] or 0) <= PORT_MAX


def _is_weak(secret: str, *, production: bool) -> bool:
    return len(secret) < SECRET_KEY_LENGTH_MIN or (production and secret == DEVELOPMENT_SECRET_KEY)


@lru_cache(maxsize=1)
def load_settings() -> Settings:
    """The process's settings, read on the first call.

    Raises pydantic.ValidationError naming each bad variable.
    """
    return Settings()


def problems_of(error: ValidationError) -> str:
    """What is wrong with the settings, in one line, by the variables' names and without their values."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(": ".join([*_variable(each["loc"]), _words(each["msg"])]) for each in found)


def _variable(location: tuple[int | str, ...]) -> list[str]:
    """The variable's name, if the problem is that of a single one."""
    return [".".join(map(str, location)).upper()] if location else []


def _words(message: str) -> str:
    return message.removeprefix("Value error, ")
