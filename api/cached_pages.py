"""Answers that are the same for everybody, kept for a moment: a rush of readers costs PostgreSQL one query, not thousands."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus

from fastapi import Request, Response
from pydantic import BaseModel

from shared.settings import Settings

PAGES_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Page:
    """An answer as it goes over the wire."""

    body: bytes
    etag: str


class CachedPages:
    """Pages by what was asked for, each at most `page_age_s` old; the least recently asked for make room."""

    def __init__(self, settings: Settings) -> None:
        self._age_s = settings.page_age_s
        self._pages: OrderedDict[Hashable, tuple[float, asyncio.Task[Page]]] = OrderedDict()

    async def answer(
        self, request: Request, asked: Hashable, make: Callable[[], Awaitable[BaseModel]]
    ) -> Response:
        """The page, or 304 to a client that has it already. Raises what `make` raises; that is not kept."""
        page = await self._page(asked, make)
        headers = {"ETag": page.etag, "Cache-Control": f"public, max-age={int(self._age_s)}"}
        if page.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Response(page.body, media_type="application/json", headers=headers)

    async def _page(self, asked: Hashable, make: Callable[[], Awaitable[BaseModel]]) -> Page:
        """Whoever comes while the page is being made waits for the same one."""
        good_until, task = self._pages.get(asked, (0.0, None))
        if task is None or good_until < time.monotonic():
            task = asyncio.create_task(_make_page(make))
            self._pages[asked] = (time.monotonic() + self._age_s, task)
            self._pages.move_to_end(asked)
            if len(self._pages) > PAGES_MAX:
                self._pages.popitem(last=False)
        try:
            # One client that hangs up must not take the page away from the others.
            return await asyncio.shield(task)
        except Exception:
            self._pages.pop(asked, None)
            raise


async def _make_page(make: Callable[[], Awaitable[BaseModel]]) -> Page:
    model = await make()
    body = model.model_dump_json().encode()
    return Page(body, f'"{sha256(body).hexdigest()[:32]}"')
