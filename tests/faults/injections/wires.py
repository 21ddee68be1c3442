"""F6: the wire between two parts reset, silent in one direction, slow, or losing replies."""

import time
from collections.abc import Callable, Sequence
from functools import partial

from tests.faults.failover import LOOK_INTERVAL_S, watching
from tests.faults.injections.fault import Fault
from tests.faults.proxy import Direction, Proxy
from tests.faults.scene import Scene
from tests.faults.site import WIRED, WIRES

LATENCY_S = 0.2
LASTS_MIN_S, LASTS_MAX_S = 0.5, 2.0
RESETS = 5
TOUCH_LIMIT_S = 5.0
# Longer than a worker waits for Redis, and for the second try.
BLIND_S = 6.0
CLIENTS, TO_REDIS, TO_POSTGRESQL = "client-api", "worker-redis", "worker-postgresql"
SERVER_WIRES = tuple(wire for wire in WIRES if wire != CLIENTS)

Break = Callable[[Scene, Proxy, Direction], str]


def of_wires(name: str, what: str, do: Break, wires: Sequence[str] = WIRES) -> Fault:
    """A fault of one of these wires after the other, ended after a while."""
    return Fault(name, what, partial(_break_one, do=do, wires=wires), wires=wires)


def whose_turn(turn: int, wires: Sequence[str]) -> tuple[str, Direction]:
    """The wire of a fault's run with this number, and the way of it that is broken where only one is.

    As many runs as there are wires break each of them; after as many again each was broken both ways.
    """
    return wires[turn % len(wires)], list(Direction)[turn // len(wires) % len(Direction)]


def _break_one(scene: Scene, do: Break, wires: Sequence[str]) -> None:
    name, direction = whose_turn(scene.turn, wires)
    scene.wire = name
    proxy = scene.site.wires[name]
    before = proxy.touched
    lasts_s = scene.chance.uniform(LASTS_MIN_S, LASTS_MAX_S)
    try:
        how = do(scene, proxy, direction)
        scene.landed_within(TOUCH_LIMIT_S, lambda: proxy.touched > before, f"something goes over {name}")
        scene.pause(lasts_s)
    finally:
        proxy.heal()
    scene.where = f"{name} {how} for {lasts_s:.2f} s, {proxy.touched - before} times"


def reset(scene: Scene, proxy: Proxy, _: Direction) -> str:
    """Every connection broken, several times in a row."""
    for _time in range(RESETS):
        proxy.reset()
        scene.pause(0.05 * scene.chance.random())
    return "reset"


def go_silent(scene: Scene, proxy: Proxy, direction: Direction) -> str:
    """Nothing arrives in one direction any more; nobody is told."""
    proxy.blackhole(direction)
    return f"silent {direction.value}"


def go_slow(scene: Scene, proxy: Proxy, _: Direction) -> str:
    """Everything takes 200 ms longer, each way."""
    proxy.delay(LATENCY_S)
    return "slow"


def lose_replies(scene: Scene, proxy: Proxy, _: Direction) -> str:
    """What is asked is done, and the answer lost with the connection."""
    proxy.lose_replies()
    return "without replies"


def cut_owner_off(scene: Scene) -> None:
    """A worker cut off from PostgreSQL in one direction until another one has its courses."""
    proxy = scene.site.wires[TO_POSTGRESQL]
    try:
        _cut_off(scene, TO_POSTGRESQL)
    finally:
        proxy.heal()


def cut_owner_off_from_redis(scene: Scene) -> None:
    """A worker cut off from Redis: another one has its courses, and it does not take them back while it sees no queue."""
    proxy = scene.site.wires[TO_REDIS]
    victim = scene.site.crew[WIRED].pid
    try:
        _cut_off(scene, TO_REDIS)
        ends_at = time.monotonic() + BLIND_S
        while time.monotonic() < ends_at:
            assert not scene.site.shards_of(victim), "it sees no queue and holds shards again"
            scene.pause(LOOK_INTERVAL_S)
    finally:
        proxy.heal()


def _cut_off(scene: Scene, name: str) -> None:
    """Silence this wire of the second worker in one direction, and time its courses. The caller heals the wire."""
    site = scene.site
    scene.wire, direction = whose_turn(scene.turn, [name])
    proxy = site.wires[name]
    victim = site.crew[WIRED].pid
    before = proxy.touched
    with watching(site, victim, scene.course_ids, others_only=True) as watch:
        scene.landed(watch.last_index, "the worker owned no course")
        proxy.blackhole(direction)
        watch.strike()
        scene.landed_within(TOUCH_LIMIT_S, lambda: proxy.touched > before, "something is held back")
    scene.stood_still_s += watch.stood_still_s
    scene.where = f"worker {victim} cut off {direction.value}"


FAULTS = (
    of_wires("F6-reset", "a wire reset", reset),
    of_wires("F6-blackhole", "a wire silent in one direction", go_silent, SERVER_WIRES),
    of_wires("F6-blackhole-clients", "the clients' wire silent in one direction", go_silent, [CLIENTS]),
    of_wires("F6-latency", "a wire slower by 200 ms", go_slow),
    of_wires("F6-lost-reply", "a wire losing only the replies", lose_replies),
    Fault(
        *("F6-cut-off", "an owner cut off from PostgreSQL, one way", cut_owner_off, "cut off"),
        wires=[TO_POSTGRESQL],
    ),
    Fault(
        *("F6-blind", "an owner cut off from Redis, one way", cut_owner_off_from_redis, "cut off"),
        wires=[TO_REDIS],
    ),
)
