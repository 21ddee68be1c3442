"""Settings are checked at start, and production takes no shortcuts."""

from pathlib import Path
from typing import Any

import pytest
import redis
from pydantic import ValidationError
from sqlalchemy import make_url

from shared.settings import DEVELOPMENT_SECRET_KEY, Settings, problems_of, with_password

OWN_SECRET = "0123456789abcdef0123456789abcdef"


def make(**given: Any) -> Settings:
    """Settings from these values alone."""
    return Settings(_env_file=None, **given)


def test_development_starts_with_nothing_set() -> None:
    """Every setting has a default."""
    assert make().environment == "development"


@pytest.mark.parametrize("secret_key", [DEVELOPMENT_SECRET_KEY, "", "short", OWN_SECRET[:-1]])
def test_production_refuses_the_built_in_and_any_short_secret(secret_key: str) -> None:
    """The message names the variable to set."""
    with pytest.raises(ValidationError, match="SECRET_KEY"):
        make(environment="production", secret_key=secret_key)


@pytest.mark.parametrize("secret_key", ["", "short", OWN_SECRET[:-1]])
def test_development_refuses_a_short_secret_that_somebody_chose(secret_key: str) -> None:
    """An empty variable is a mistake, not a wish for the built-in secret."""
    with pytest.raises(ValidationError, match="SECRET_KEY"):
        make(secret_key=secret_key)


def test_production_starts_with_a_secret_of_ones_own() -> None:
    """32 characters are enough."""
    assert make(environment="production", secret_key=OWN_SECRET).secret_key == OWN_SECRET


def test_production_refuses_an_unsafe_redis() -> None:
    """ALLOW_UNSAFE_REDIS is for development only."""
    with pytest.raises(ValidationError, match="ALLOW_UNSAFE_REDIS"):
        make(environment="production", secret_key=OWN_SECRET, allow_unsafe_redis=True)


def test_the_environment_names_each_setting_in_upper_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """QUEUE_LIMIT sets queue_limit."""
    monkeypatch.setenv("QUEUE_LIMIT", "123")
    assert make().queue_limit == 123


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("queue_shards", 0),
        ("queue_shards", 1025),
        ("bcrypt_cost", 3),
        ("round_size_max", 0),
        ("wait_max_s", 31),
        ("environment", "staging"),
    ],
)
def test_a_senseless_value_is_refused_by_name(name: str, value: Any) -> None:
    """The error says which setting is wrong."""
    with pytest.raises(ValidationError, match=name):
        make(**{name: value})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("postgresql://u:p@h:1/d?sslmode=require", "postgresql+psycopg2://u:p@h:1/d?sslmode=require"),
        ("postgres://u@h/d", "postgresql+psycopg2://u@h/d"),
        ("postgresql+psycopg2://u@h/d", "postgresql+psycopg2://u@h/d"),
    ],
)
def test_every_usual_database_url_gets_the_installed_driver(given: str, expected: str) -> None:
    """SQLAlchemy 2.1 takes a bare postgresql:// for a driver that is not installed."""
    assert make(database_url=given).sqlalchemy_url == expected


@pytest.mark.parametrize(
    "url",
    [
        *("", "nonsense", "mysql://x", "localhost:5432/d", "http://h/d", "postgresql+asyncpg://u@h/d"),
        *("postgresql:/h/d", "postgresql://u@h:port/d", "postgresql://h:70000/d", "postgresql://[bad/d"),
        *("postgresql://app:pass@word@db/r", "postgresql://app:a/b@db/r", "postgresql://app:a#b@db/r"),
        "postgresql://app:a?b@db/r",
    ],
)
def test_a_database_url_that_is_none_is_refused_by_name_and_without_its_text(url: str) -> None:
    """At start, in one line, rather than by a traceback at the first connection."""
    with pytest.raises(ValidationError) as refused:
        make(database_url=url, database_password="given-apart")
    assert problems_of(refused.value) == (
        "DATABASE_URL: must look like postgresql://user@host:5432/name, with special characters of a password"
        " written as in %40"
    )


@pytest.mark.parametrize(
    "url",
    [
        *("", "nonsense", "localhost:6379", "http://h/0", "redis:/h", "unix://", "redis://h:port/0"),
        *("redis://h:70000/0", "redis://[bad/0", "redis://:a#b@h/0", "redis://:a/b@h/0"),
    ],
)
def test_a_redis_url_that_is_none_is_refused_by_name_and_without_its_text(url: str) -> None:
    """The same."""
    with pytest.raises(ValidationError) as refused:
        make(redis_url=url, redis_password="given-apart")
    assert problems_of(refused.value).startswith("REDIS_URL: must look like redis://host:6379/0,")


@pytest.mark.parametrize(
    "url",
    [
        *("postgresql://", "postgresql://db", "postgresql:///d?host=/run/postgresql", "postgres://u@db/r"),
        *("postgresql://app:a%40b@db:5432/r?sslmode=require", "postgres://app:a%2Fb%23c@db/r"),
        *("postgresql://app@[::1]:5432/r", "postgresql://[::1]/r", "postgresql+psycopg2://u@h/d"),
    ],
)
def test_a_database_url_that_is_taken_can_be_taken_apart(url: str) -> None:
    """By the library that connects with it."""
    assert make_url(make(database_url=url).sqlalchemy_url).drivername == "postgresql+psycopg2"


@pytest.mark.parametrize(
    "url",
    [
        *(
            "redis://",
            "redis://h",
            "redis://h:6379",
            "redis://h:/0",
            "rediss://u:p@h:6380/1?ssl_cert_reqs=none",
        ),
        *("redis://:a%2Fb@h/0", "redis://:a@b@h:1/0", "redis://[::1]:6379/0", "unix:///run/redis.sock?db=1"),
    ],
)
def test_a_redis_url_that_is_taken_can_be_taken_apart(url: str) -> None:
    """By the library that connects with it."""
    with redis.Redis.from_url(make(redis_url=url).redis_url) as client:
        assert client.connection_pool.connection_kwargs


def test_all_problems_are_told_at_once_in_one_line() -> None:
    """Each by the name of its variable, so that one start is enough to see them all."""
    with pytest.raises(ValidationError) as refused:
        make(redis_url="nonsense", queue_shards=0, bcrypt_cost=99)
    told = problems_of(refused.value)
    assert "\n" not in told
    assert [each.partition(":")[0] for each in told.split("; ")] == [
        "REDIS_URL",
        "QUEUE_SHARDS",
        "BCRYPT_COST",
    ]


def test_the_secret_does_not_show_when_settings_are_printed() -> None:
    """Nobody logs it by accident."""
    assert OWN_SECRET not in repr(make(secret_key=OWN_SECRET))


def test_settings_cannot_be_changed_after_start() -> None:
    """Read once."""
    with pytest.raises(ValidationError):
        make().queue_limit = 1


@pytest.mark.parametrize(
    ("url", "password", "expected"),
    [
        ("postgresql://app@db:5432/r", "a/b@c:d", "postgresql://app:a%2Fb%40c%3Ad@db:5432/r"),
        ("redis://redis:6379/0", "secret", "redis://:secret@redis:6379/0"),
        ("redis://:own@redis:6379/0", "secret", "redis://:own@redis:6379/0"),
        ("redis://redis:6379/0", "", "redis://redis:6379/0"),
    ],
)
def test_a_password_given_apart_completes_a_url_that_has_none(url: str, password: str, expected: str) -> None:
    """Whatever characters it is made of; a URL with a password of its own stays as it is."""
    assert with_password(url, password) == expected


def test_secrets_may_come_from_files(tmp_path: Path) -> None:
    """A file named like the setting counts, its last newline does not."""
    for name, content in (("secret_key", OWN_SECRET), ("database_password", "x/y"), ("redis_password", "z")):
        (tmp_path / name).write_text(f"{content}\n")
    settings = make(_secrets_dir=tmp_path, database_url="postgresql://app@db/r", redis_url="redis://redis/0")
    assert settings.secret_key == OWN_SECRET
    assert settings.sqlalchemy_url == "postgresql+psycopg2://app:x%2Fy@db/r"
    assert settings.redis_url == "redis://:z@redis/0"


def test_a_variable_counts_before_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that one can be overridden without touching the files."""
    (tmp_path / "secret_key").write_text("f" * 32)
    monkeypatch.setenv("SECRET_KEY", OWN_SECRET)
    assert make(_secrets_dir=tmp_path).secret_key == OWN_SECRET


def test_neither_errors_nor_settings_print_a_secret() -> None:
    """Both end up in logs."""
    secrets = {
        "secret_key": OWN_SECRET,
        "database_url": "postgresql://app:in-the-url@db/r",
        "redis_password": "given-apart",
    }
    settings = make(**secrets)
    with pytest.raises(ValidationError) as failure:
        make(**secrets, environment="production", allow_unsafe_redis=True)
    for secret in (OWN_SECRET, "in-the-url", "given-apart"):
        assert secret not in repr(settings)
        assert secret not in str(failure.value)


def test_keys_that_are_on_their_way_out_are_a_comma_separated_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spaces do not count, and an empty variable names none."""
    monkeypatch.setenv("SECRET_KEYS_PREVIOUS", f"{OWN_SECRET}, {OWN_SECRET[::-1]}")
    assert make().secret_keys_previous == (OWN_SECRET, OWN_SECRET[::-1])
    monkeypatch.setenv("SECRET_KEYS_PREVIOUS", "")
    assert make().secret_keys_previous == ()


@pytest.mark.parametrize("keys", ["short", f"{OWN_SECRET},", f"{OWN_SECRET},short"])
def test_every_key_that_is_on_its_way_out_must_be_long_enough(keys: str) -> None:
    """A token is as hard to forge as the weakest key it is valid under."""
    with pytest.raises(ValidationError, match="SECRET_KEYS_PREVIOUS"):
        make(secret_keys_previous=keys)


def test_production_refuses_the_built_in_secret_as_a_previous_one_too() -> None:
    """Everybody can sign with it."""
    with pytest.raises(ValidationError, match="SECRET_KEYS_PREVIOUS"):
        make(
            environment="production",
            secret_key=OWN_SECRET,
            secret_keys_previous=DEVELOPMENT_SECRET_KEY,
        )


def test_no_secret_is_shown_with_the_settings() -> None:
    """What is printed or logged by mistake must not let anybody in."""
    shown = repr(make(secret_key=OWN_SECRET, secret_keys_previous=OWN_SECRET[::-1]))
    assert OWN_SECRET not in shown
    assert OWN_SECRET[::-1] not in shown
