"""Passwords and tokens: what is refused."""

import time
from typing import Any

import bcrypt
import pytest
from jose import jwt

from shared import security
from shared.errors import InvalidTokenError, PasswordTooLongError
from shared.security import (
    TokenVerifier,
    hash_cost,
    hash_password,
    issue_token,
    nobodys_hash,
    verify_password,
)
from shared.settings import Settings

SETTINGS = Settings(_env_file=None, secret_key="a secret of the tests, long enough", bcrypt_cost=4)
SECONDS_A_DAY = 86_400


def claims(**changed: Any) -> dict[str, Any]:
    """Good claims, with some changed; None takes a claim out."""
    good = {"sub": "student", "num": "STU001", "exp": int(time.time()) + SECONDS_A_DAY}
    return {name: value for name, value in (good | changed).items() if value is not None}


def sign(key: str = SETTINGS.secret_key, algorithm: str = "HS256", **changed: Any) -> str:
    """A token with these claims."""
    return jwt.encode(claims(**changed), key, algorithm=algorithm)


def unsigned() -> str:
    """A token with alg=none and an empty signature."""
    head, body, _ = sign().split(".")
    del head
    return f"eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{body}."


def with_a_changed_body() -> str:
    """Somebody else's claims under a good signature."""
    head, _, signature = sign().split(".")
    return f"{head}.{sign(sub='other').split('.')[1]}.{signature}"


def test_a_password_is_recognised_by_its_hash_and_no_other_is() -> None:
    """And the hash tells its cost."""
    hashed = hash_password("test123", cost=4)
    assert verify_password("test123", hashed, cost=4)
    assert not verify_password("test124", hashed, cost=4)
    assert hash_cost(hashed) == 4


@pytest.mark.parametrize("cost_of_hash", [4, 5, 8])
def test_a_refusal_is_as_much_work_whatever_the_hash_costs(
    cost_of_hash: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hashes imported at a lower cost, and students that do not exist, cannot be told apart by time."""
    work: list[int] = []
    check = bcrypt.checkpw

    def counted(password: bytes, hashed: bytes) -> bool:
        work.append(2 ** hash_cost(hashed.decode()))
        return check(password, hashed)

    monkeypatch.setattr(bcrypt, "checkpw", counted)
    assert not verify_password("wrong", hash_password("right", cost_of_hash), cost=8)
    assert sum(work) == 2**8
    work.clear()
    assert not verify_password("wrong", nobodys_hash(8), cost=8)
    assert sum(work) == 2**8


@pytest.mark.parametrize("password", ["x" * 72, "ö" * 36, "😀" * 18])
def test_72_bytes_of_utf8_are_a_password(password: str) -> None:
    """The limit counts bytes, not characters, and the last byte matters."""
    hashed = hash_password(password, cost=4)
    assert verify_password(password, hashed, cost=4)
    assert not verify_password(password[:-1] + "y", hashed, cost=4)


@pytest.mark.parametrize("password", ["x" * 73, "ö" * 36 + "x", "😀" * 18 + "x"])
def test_73_bytes_are_refused_rather_than_cut_off(password: str) -> None:
    """The hash could not tell them from their first 72."""
    with pytest.raises(PasswordTooLongError):
        hash_password(password, cost=4)
    with pytest.raises(PasswordTooLongError):
        verify_password(password, "$2b$04$" + "x" * 53, cost=4)


def test_a_token_of_ours_names_its_student() -> None:
    """Issued and verified, the second time from the cache."""
    token, seconds = issue_token(SETTINGS, "student", "STU001")
    verifier = TokenVerifier(SETTINGS)
    first, second = verifier.verify(token), verifier.verify(token)
    assert first == second
    assert (first.student_id, first.student_number) == ("student", "STU001")
    assert first.expires_at <= int(time.time()) + seconds
    assert seconds == SETTINGS.token_ttl_s


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("", id="empty"),
        pytest.param("a.b.c", id="no token at all"),
        pytest.param("\ud800.é.\x00", id="not even text"),
        pytest.param(unsigned(), id="alg none"),
        pytest.param(with_a_changed_body(), id="claims changed"),
        pytest.param(sign(key="another secret, just as long as ours"), id="wrong key"),
        pytest.param(sign(algorithm="HS512"), id="other algorithm"),
        pytest.param(sign(exp=int(time.time()) - 1), id="expired"),
        pytest.param(sign(exp=None), id="never expires"),
        pytest.param(sign(sub=None), id="no subject"),
        pytest.param(sign(num=None), id="no student number"),
        pytest.param(sign(sub=5), id="subject is a number"),
        pytest.param(sign(exp="tomorrow"), id="expiry is a word"),
    ],
)
def test_a_token_that_is_not_exactly_ours_is_refused(token: str) -> None:
    """Forged, foreign, expired or incomplete: one and the same error."""
    with pytest.raises(InvalidTokenError):
        TokenVerifier(SETTINGS).verify(token)


def test_a_cached_token_is_refused_once_it_has_expired() -> None:
    """The cache remembers signatures, not permissions."""
    expires_at = int(time.time()) + 1
    token = sign(exp=expires_at)
    verifier = TokenVerifier(SETTINGS)
    verifier.verify(token)
    while time.time() < expires_at:
        assert time.time() < expires_at + 5
    with pytest.raises(InvalidTokenError):
        verifier.verify(token)


def test_the_cache_of_tokens_is_bounded_and_forgets_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    """A forgotten token is just verified again."""
    monkeypatch.setattr(security, "TOKENS_CACHED_MAX", 2)
    verifier = TokenVerifier(SETTINGS)
    tokens = [sign(sub=f"student-{number}") for number in range(5)]
    for token in tokens:
        verifier.verify(token)
    assert list(verifier._verified) == tokens[-2:]
    assert verifier.verify(tokens[0]).student_id == "student-0"


NEW_KEY = "the key that takes over, long enough"


def test_while_the_key_is_changed_tokens_of_both_keys_are_valid_and_new_ones_are_signed_with_the_new() -> (
    None
):
    """Nobody is logged out: neither by the process that has changed already nor by the one that has not yet."""
    old = SETTINGS.model_copy(update={"secret_keys_previous": (NEW_KEY,)})
    new = SETTINGS.model_copy(update={"secret_key": NEW_KEY, "secret_keys_previous": (SETTINGS.secret_key,)})
    for signing in (old, new):
        token, _ = issue_token(signing, "student", "STU001")
        for verifying in (old, new):
            assert TokenVerifier(verifying).verify(token).student_id == "student"
    token, _ = issue_token(new, "student", "STU001")
    assert jwt.decode(token, NEW_KEY, algorithms=["HS256"])["sub"] == "student"


def test_a_key_that_is_gone_from_the_list_lets_nobody_in() -> None:
    """After the overlap, and before anybody listed it."""
    changed = SETTINGS.model_copy(update={"secret_key": NEW_KEY})
    with pytest.raises(InvalidTokenError):
        TokenVerifier(changed).verify(sign())


@pytest.mark.parametrize("forged", [sign("somebody else's key, just as long as ours"), unsigned()])
def test_with_several_keys_a_forged_token_is_still_refused(forged: str) -> None:
    """Each key is tried, and none fits."""
    several = SETTINGS.model_copy(update={"secret_keys_previous": (NEW_KEY,)})
    with pytest.raises(InvalidTokenError):
        TokenVerifier(several).verify(forged)
