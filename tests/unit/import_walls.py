"""The walls between the parts of the system, checked on the syntax trees: who may import, and call, what.

Every check takes a module's path within the repository and its source, and returns what is wrong, in words.
"""

import ast
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath

REDIS_ALLOWED = ("shared/course_queue/",)
SQL_ALLOWED = ("shared/store/", "shared/models.py", "shared/database.py")
# Types and error classes, which say nothing to a database.
SQLALCHEMY_TYPES = {"Connection", "Engine", "Row", "RowMapping"}
SQLALCHEMY_TYPES_FOR = ("api/", "worker/", "shared/audit.py", "shared/manage/")
# The one that is an RQ worker.
REDIS_EXCEPTIONS = ("worker/registration_worker.py",)

Check = Callable[[PurePosixPath, str], list[str]]


def imports(source: str) -> Iterator[tuple[str, str | None]]:
    """(module, name or None) for every import statement, wherever it stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from ((module, alias.name) for alias in node.names)


def top(module: str) -> str:
    """The package a module belongs to."""
    return module.partition(".")[0]


def parts_stay_apart(path: PurePosixPath, source: str) -> list[str]:
    """The API and the worker never meet; shared knows neither; nobody of them knows scripts or tests."""
    forbidden = {
        "api": {"worker", "scripts", "tests"},
        "worker": {"api", "scripts", "tests"},
        "shared": {"api", "worker", "scripts", "tests"},
    }.get(path.parts[0], set())
    return [f"{path} imports {module}" for module, _ in imports(source) if top(module) in forbidden]


def imports_are_absolute(path: PurePosixPath, source: str) -> list[str]:
    """No relative imports, which the other checks could not place."""
    return [f"{path} imports {module}" for module, _ in imports(source) if module.startswith(".")]


def sql_stays_in_the_store(path: PurePosixPath, source: str) -> list[str]:
    """SQLAlchemy only where SQL is spoken; elsewhere its types for annotations and its errors."""
    if str(path).startswith(SQL_ALLOWED):
        return []
    found = [
        f"{path} imports {name or ''} from {module}"
        for module, name in imports(source)
        if top(module) in {"sqlalchemy", "psycopg2"} and not _is_sqlalchemy_type(path, module, name)
    ]
    if any(function == "text" for function, _ in _calls(source)):
        found.append(f"{path} calls text()")
    return found


def _is_sqlalchemy_type(path: PurePosixPath, module: str, name: str | None) -> bool:
    if module == "sqlalchemy.exc":
        return str(path).startswith(("worker/", "scripts/"))
    return module == "sqlalchemy" and name in SQLALCHEMY_TYPES and str(path).startswith(SQLALCHEMY_TYPES_FOR)


def redis_stays_in_the_course_queue(path: PurePosixPath, source: str) -> list[str]:
    """Who may command Redis: the course queue. Others may name its client's type, never call it."""
    if str(path).startswith(REDIS_ALLOWED + REDIS_EXCEPTIONS):
        return []
    found = [
        f"{path} imports {module}"
        for module, name in imports(source)
        if top(module) == "rq" or (top(module) == "redis" and name is not None)
    ]
    commands = {
        "evalsha",
        "eval",
        "hset",
        "hget",
        "hgetall",
        "rpush",
        "lpush",
        "lpop",
        "blpop",
        "lrem",
        "sadd",
    }
    found += [
        f"{path} calls .{function}()"
        for function, method in _calls(source)
        if method and function in commands
    ]
    found += [
        f"{path} names the key {text!r}" for text in _strings(source) if text.startswith(("rq:", "cr:"))
    ]
    return found


def _strings(source: str) -> Iterator[str]:
    return (
        node.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def cryptography_stays_in_security(path: PurePosixPath, source: str) -> list[str]:
    """JWT and bcrypt: one module each way."""
    if str(path) == "shared/security.py":
        return []
    return [
        f"{path} imports {module}"
        for module, _ in imports(source)
        if top(module) in {"jose", "jwt", "bcrypt", "passlib", "cryptography"}
    ]


def commits_stay_in_the_database_module(path: PurePosixPath, source: str) -> list[str]:
    """One edge commits: `transaction` in shared/database.py."""
    if str(path) == "shared/database.py":
        return []
    return [
        f"{path} calls .{function}()"
        for function, method in _calls(source)
        if method and function in {"commit", "begin", "begin_nested"}
    ]


def rules_are_pure(path: PurePosixPath, source: str) -> list[str]:
    """The rules import only the standard library, and nothing of it that reads a clock or the world."""
    if str(path) != "shared/rules.py":
        return []
    allowed = {"dataclasses", "datetime", "enum", "typing", "collections"}
    found = [f"{path} imports {module}" for module, _ in imports(source) if top(module) not in allowed]
    clocks = {"now", "utcnow", "today", "time", "open", "print"}
    return found + [f"{path} calls {function}()" for function, _ in _calls(source) if function in clocks]


def nothing_is_pickled(path: PurePosixPath, source: str) -> list[str]:
    """JSON, never pickle."""
    return [
        f"{path} imports {module}"
        for module, _ in imports(source)
        if top(module) in {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal"}
    ]


def _calls(source: str) -> Iterator[tuple[str, bool]]:
    """(name, whether it is a method) of every call."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute):
                yield node.func.attr, True
            elif isinstance(node.func, ast.Name):
                yield node.func.id, False


CHECKS: tuple[Check, ...] = (
    parts_stay_apart,
    imports_are_absolute,
    sql_stays_in_the_store,
    redis_stays_in_the_course_queue,
    cryptography_stays_in_security,
    commits_stay_in_the_database_module,
    rules_are_pure,
    nothing_is_pickled,
)
