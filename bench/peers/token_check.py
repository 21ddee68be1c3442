"""The token check that every peer shares with this system: the same verifier with the same cache of good tokens."""

from typing import Annotated

from fastapi import Depends, HTTPException
from fastapi.security import OAuth2PasswordBearer

from shared.errors import InvalidTokenError
from shared.security import Identity, TokenVerifier
from shared.settings import load_settings

tokens = TokenVerifier(load_settings())


async def current_student(token: Annotated[str, Depends(OAuth2PasswordBearer(tokenUrl="none"))]) -> Identity:
    """The student behind the token, or 401."""
    try:
        return tokens.verify(token)
    except InvalidTokenError as error:
        raise HTTPException(401) from error


CurrentStudent = Annotated[Identity, Depends(current_student)]
