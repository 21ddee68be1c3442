"""The Lua scripts, read once from `lua/`."""

from hashlib import sha1
from pathlib import Path
from typing import Final


class LuaScript:
    """A script's source, and the digest by which Redis knows it once loaded."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.source = (Path(__file__).parent / "lua" / f"{name}.lua").read_text(encoding="utf-8")
        self.digest = sha1(self.source.encode(), usedforsecurity=False).hexdigest()


ACCEPT: Final = LuaScript("accept")
LOOK_UP: Final = LuaScript("look_up")
SHOW_OUTCOME: Final = LuaScript("show_outcome")
PEEK: Final = LuaScript("peek")
FINISH: Final = LuaScript("finish")
RETIRE: Final = LuaScript("retire")
OVERVIEW: Final = LuaScript("overview")
SURVEY: Final = LuaScript("survey")
CLAIM_SHARDS: Final = LuaScript("claim_shards")
REBUILD: Final = LuaScript("rebuild")
ALL: Final = (ACCEPT, LOOK_UP, SHOW_OUTCOME, PEEK, FINISH, RETIRE, OVERVIEW, SURVEY, CLAIM_SHARDS, REBUILD)
