"""Passwords and tokens: the one module that speaks bcrypt and the one that speaks JWT."""

import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import bcrypt
from jose import jwt
from jose.exceptions import JOSEError

from shared.errors import InvalidTokenError, PasswordTooLongError
from shared.settings import Settings

PASSWORD_BYTES_MAX = 72
ALGORITHM = "HS256"
TOKENS_CACHED_MAX = 100_000


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose token it is, and until when (seconds since 1970)."""

    student_id: str
    student_number: str
    expires_at: int


def hash_password(password: str, cost: int) -> str:
    """The bcrypt hash of a password; takes about 60 ms at cost 10, doubling with each step.

    Raises PasswordTooLongError above 72 bytes, which bcrypt could not tell apart.
    """
    return bcrypt.hashpw(_password_bytes(password), bcrypt.gensalt(cost)).decode()


def nobodys_hash(cost: int) -> str:
    """A hash at that cost that no known password has: compared with where there is no student."""
    return f"$2b${cost:02}${'.' * 53}"


def verify_password(password: str, password_hash: str, cost: int) -> bool:
    """Whether the password is the hashed one. Raises PasswordTooLongError.

    A refusal is as much work as one at `cost`, however cheap the hash: so the time it takes does not tell whether there
    is such a student. Each step of the cost doubles the work, and all steps below make up one. A hash dearer than `cost`
    would tell: imports refuse it, and the configured cost must not be lowered.
    """
    given = _password_bytes(password)
    if bcrypt.checkpw(given, password_hash.encode()):
        return True
    for missing in range(hash_cost(password_hash), cost):
        bcrypt.checkpw(given, nobodys_hash(missing).encode())
    return False


def _password_bytes(password: str) -> bytes:
    encoded = password.encode()
    if len(encoded) > PASSWORD_BYTES_MAX:
        raise PasswordTooLongError
    return encoded


def hash_cost(password_hash: str) -> int:
    """The cost a bcrypt hash was made at."""
    return int(password_hash.split("$")[2])


def issue_token(settings: Settings, student_id: str, student_number: str) -> tuple[str, int]:
    """A signed token for a student, and how many seconds it lasts."""
    now = int(time.time())
    claims = {"sub": student_id, "num": student_number, "iat": now, "exp": now + settings.token_ttl_s}
    return jwt.encode(claims, settings.secret_key, algorithm=ALGORITHM), settings.token_ttl_s


class TokenVerifier:
    """Checks tokens, and remembers the good ones until they expire: a signature is verified once per process.

    Tokens are signed with one key and valid under others as well, so that the key can be changed without logging
    anybody out.
    """

    def __init__(self, settings: Settings) -> None:
        self._keys = (settings.secret_key, *settings.secret_keys_previous)
        self._verified: OrderedDict[str, Identity] = OrderedDict()

    def verify(self, token: str) -> Identity:
        """Whose token it is. Raises InvalidTokenError."""
        identity = self._verified.get(token)
        if identity is None:
            identity = self._decode(token)
            self._verified[token] = identity
            if len(self._verified) > TOKENS_CACHED_MAX:
                self._verified.popitem(last=False)
        if identity.expires_at <= time.time():
            self._verified.pop(token, None)
            raise InvalidTokenError
        return identity

    def _decode(self, token: str) -> Identity:
        try:
            claims = self._claims(token)
            return Identity(str(claims["sub"]), str(claims["num"]), int(claims["exp"]))
        except (JOSEError, KeyError, TypeError, ValueError) as error:
            raise InvalidTokenError from error

    def _claims(self, token: str) -> dict[str, Any]:
        """What the token says under the first key that it is valid under. Raises the last key's JOSEError."""
        *others, last = self._keys
        for key in others:
            with suppress(JOSEError):
                return jwt.decode(token, key, algorithms=[ALGORITHM])
        return jwt.decode(token, last, algorithms=[ALGORITHM])
