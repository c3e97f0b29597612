"""How each hazard befalls: begins, and ends again."""

import json
import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from chaos.virtual.disk import Damage
from chaos.virtual.scheme import ALARM_FAULTS, CAUSES, POSTGRES_FAULTS, Hazard

from liqtape.simulator.dialects import DIALECTS

if TYPE_CHECKING:
    from chaos.virtual.execution import Execution

__all__ = ["REST_FAULTS", "strike"]

REST_FAULTS = ("http_500", "http_429", "garbage", "cut_short", "hanging")
_REDIS = ("dead", "stuck", "readonly", "full", "restart")
_DISK = ("full", "io", "slow", "stuck")
_DAMAGE: dict[str, Damage] = {"kill": "", "power": "torn", "rot": "rotten"}
_CALM = 0.02


def strike(hazard: Hazard, execution: "Execution") -> Callable[[], None]:
    """Let it befall, and return what ends it."""
    match hazard.against:
        case "us":
            end = _strike_us(hazard, execution)
        case "redis":
            end = _strike_redis(_REDIS[hazard.number], execution)
        case "postgres":
            execution.postgres.strike(POSTGRES_FAULTS[hazard.number])
            end = execution.postgres.calm
        case "channel":
            execution.alarm_end.fault = ALARM_FAULTS[hazard.number]
            end = execution.alarm_end.calm
        case "sealed":
            execution.disk.rot(random.Random(hazard.number))
            end = _nothing
        case "disk":
            execution.disk.fault = _DISK[hazard.number]  # type: ignore[assignment]
            end = execution.disk.calm
        case _:
            end = _strike_venue(hazard, execution) if hazard.against in execution.venues else _nothing
    return end


def _nothing() -> None:
    """End nothing."""


def _strike_us(hazard: Hazard, execution: "Execution") -> Callable[[], None]:
    world = execution.world
    if hazard.kind in _DAMAGE:
        execution.kill(hazard.seconds, _DAMAGE[hazard.kind])
    elif hazard.kind == "freeze":
        execution.machine.strands.freeze(hazard.seconds)
    elif hazard.kind == "wall":
        world.wall_offset_ns += hazard.number * 1_000_000
    return _nothing


def _strike_redis(fault: str, execution: "Execution") -> Callable[[], None]:
    redis = execution.redis
    if fault == "restart":
        redis.fault = "dead"
        redis.die(forgets=True)
    else:
        redis.fault = fault
        if fault == "dead":
            redis.die(forgets=False)
    return lambda: setattr(redis, "fault", "")


def _strike_venue(hazard: Hazard, execution: "Execution") -> Callable[[], None]:  # noqa: C901, PLR0912 - one a kind
    venue, world = execution.venues[hazard.against], execution.world
    attribute, before, during = "", 0.0, 0.0
    match hazard.kind:
        case "cut":
            venue.cut_all(CAUSES[hazard.number])
        case "silence":
            attribute, before, during = "is_silent", False, True
        case "stall":
            venue.shut_until_ns = max(venue.shut_until_ns, world.now_ns + round(hazard.seconds * 1e9))
        case "deaf":
            attribute, before, during = "is_deaf", False, True
            venue.is_mute = True
        case "http":
            attribute, before, during = "status", 0, hazard.number
            venue.cut_all("closed_1006")
        case "slow":
            attribute, before, during = "slow_seconds", 0.0, hazard.number / 1_000
        case "duplicate":
            attribute, before, during = "duplicates", 0.0, 0.3
        case "reorder":
            attribute, before, during = "reorders", 0.0, 0.4
        case "refuse":
            if topic := DIALECTS[venue.name].refused_topic:
                venue.refusals[topic] = hazard.number
                venue.cut_all("closed_1012")
        case "rest":
            attribute, before, during = "rest_fault", "", REST_FAULTS[hazard.number]  # type: ignore[assignment]
        case "burst":
            venue.hurry(float(hazard.number))
            return lambda: venue.hurry(_CALM)
        case "skew" | "step":
            venue.step_clock(hazard.number)
    if not attribute:
        return _nothing
    setattr(venue, attribute, during)

    def end() -> None:
        setattr(venue, attribute, before)
        if hazard.kind == "deaf":
            venue.is_mute = False
            venue.cut_all("closed_1006")

    return end


def damaged(fault: str, body: object) -> tuple[int, bytes]:
    """Return an answer as the fault has it."""
    text = json.dumps(body, separators=(",", ":")).encode()
    match fault:
        case "http_500":
            return 500, b"internal error"
        case "http_429":
            return 429, b"too many requests"
        case "garbage":
            return 200, b'{"retCode":0,"code":"0","result":{"list":[{"symbol":7}]},"data":[{"instId":7}],"symbols":[7]}'
        case "cut_short":
            return 200, text[: len(text) // 2]
    return 200, text
