"""Timing every statement of an engine under the name it has in `shared.store`."""

import importlib
import pkgutil
import time
from functools import cache
from typing import Any

from sqlalchemy import Engine, TextClause, event

from shared import metrics, store

OTHER = "other"


@cache
def statement_names() -> dict[str, str]:
    """SQL text -> the name of the constant that holds it, in small letters."""
    modules = [
        importlib.import_module(f"{store.__name__}.{found.name}")
        for found in pkgutil.iter_modules(store.__path__)
    ]
    return {
        value.text: name.lower()
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, TextClause)
    }


def observe_statements(engine: Engine) -> Engine:
    """Count and time each round trip of the engine's connections from now on; returns the engine."""
    names = statement_names()

    def began(_c: Any, _cursor: Any, _statement: str, _parameters: Any, context: Any, _many: bool) -> None:  # noqa: FBT001 - the event's form
        context.began_at = time.perf_counter()

    def ended(_c: Any, _cursor: Any, _statement: str, _parameters: Any, context: Any, _many: bool) -> None:  # noqa: FBT001 - the event's form
        clause = context.compiled.statement if context.compiled is not None else None
        name = names.get(getattr(clause, "text", ""), OTHER)
        metrics.POSTGRESQL_TIME.labels(name).observe(time.perf_counter() - context.began_at)

    event.listen(engine, "before_cursor_execute", began)
    event.listen(engine, "after_cursor_execute", ended)
    return engine
