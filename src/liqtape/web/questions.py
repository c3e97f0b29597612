"""What may be asked: the parameters of each path as a Struct, read strictly."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from liqtape.events import Level, Side

__all__ = [
    "CascadesQuestion",
    "EventsQuestion",
    "HistoryQuestion",
    "LevelsQuestion",
    "ListQuestion",
    "MetricsQuestion",
    "NoQuestion",
    "PriceQuestion",
    "ReplayOrder",
    "SeriesQuestion",
    "Unanswerable",
    "asked",
    "moment_of",
    "parameters_of",
]

_RELATIVE = re.compile(r"-(\d{1,9})(s|m|h|d|w)")
_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_NUMBER = re.compile(r"\d{1,16}(\.\d{1,9})?")
_MILLISECONDS_FROM = 100_000_000_000

Moment = Annotated[
    str,
    Meta(
        max_length=40,
        description="ISO 8601 (UTC unless it names a zone), Unix seconds or ms, or before now: -90s, -15m, -6h, -2d.",
        examples=["-15m", "2026-11-28T14:00", "1790000000"],
    ),
]
Name = Annotated[str, Meta(min_length=1, max_length=200, description="An instrument, as in BTCUSDT.")]
Venue = Annotated[str, Meta(min_length=1, max_length=60, description="A venue, as in bybit.")]
Limit = Annotated[int, Meta(ge=1, le=1_000, description="How many at most.")]
Seconds = Annotated[int, Meta(ge=10, le=86_400, description="How far back, in seconds; a day at most.")]
Points = Annotated[int, Meta(ge=10, le=2_000, description="Steps at most.")]
Usd = Annotated[float, Meta(ge=0, description="Only liquidations with at least so much USD.")]


class Unanswerable(Exception):
    """The question cannot be answered: HTTP status, what, where, how to mend it."""

    def __init__(self, status: int, error: str, where: str, mend: str) -> None:
        super().__init__(error)
        self.status, self.error, self.where, self.mend = status, error, where, mend


class NoQuestion(Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing to ask."""


class MetricsQuestion(Struct, frozen=True, forbid_unknown_fields=True):
    """Which rows."""

    limit: Annotated[int, Meta(ge=1, le=5_000, description="How many at most.")] = 1_000
    level: Annotated[Level, Meta(description="Only instruments at this level or above.")] = "NONE"


class SeriesQuestion(Struct, frozen=True, forbid_unknown_fields=True):
    """How far back a series reaches, and in how many steps."""

    seconds: Seconds = 900
    points: Points = 900


class EventsQuestion(Struct, frozen=True, forbid_unknown_fields=True):
    """Which liquidations."""

    since: Moment | None = None
    until: Moment | None = None
    instrument: Name | None = None
    venue: Venue | None = None
    side: Annotated[Side, Meta(description="The position that was closed.")] | None = None
    min_usd: Usd = 0.0
    limit: Limit = 100
    order: Annotated[Literal["time", "usd"], Meta(description="The newest first, or the most USD first.")] = "time"


class LevelsQuestion(Struct, frozen=True, forbid_unknown_fields=True):
    """How far back, and in how many prices."""

    seconds: Seconds = 900
    bins: Annotated[int, Meta(ge=4, le=500, description="Bins at most.")] = 60


class PriceQuestion(Struct, frozen=True, forbid_unknown_fields=True):
    """How far back, in how many steps, with how many marks."""

    seconds: Seconds = 900
    points: Points = 900
    marks: Annotated[int, Meta(ge=0, le=5_000, description="Marks at most, those with the most USD.")] = 2_000


class CascadesQuestion(Struct, frozen=True, forbid_unknown_fields=True):
    """Which cascades."""

    instrument: Name | None = None
    level: Annotated[Level, Meta(description="Only those that reached this level; NONE: all.")] = "NONE"
    parts: Annotated[bool, Meta(description="Also those that are part of the market's cascade.")] = True
    limit: Limit = 100


class ListQuestion(Struct, frozen=True, forbid_unknown_fields=True):
    """How many of a list."""

    limit: Limit = 100


class HistoryQuestion(Struct, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """The questions of `liqtape history`."""

    from_: Moment = "-1h"
    to: Moment | None = None
    show: Annotated[Literal["velocity", "events", "gaps", "summary"], Meta(description="What the rows are.")] = (
        "velocity"
    )
    symbol: Name | None = None
    venue: Venue | None = None
    window: Annotated[int, Meta(ge=1, le=86_400, description="Seconds of a window; default: the step.")] | None = None
    every: Annotated[int, Meta(ge=1, le=86_400, description="Seconds from a row to the next.")] = 60
    limit: Limit = 1_000
    offset: Annotated[int, Meta(ge=0, le=100_000_000, description="`next` of the page before.")] = 0


class ReplayOrder(Struct, frozen=True, forbid_unknown_fields=True):
    """What a replay shall do; what is left out stays as it is. `speed` null is as fast as it can."""

    is_paused: bool | UnsetType = UNSET
    speed: Annotated[float, Meta(gt=0, le=100_000)] | UnsetType | None = UNSET
    at_ms: Annotated[int, Meta(ge=0, le=4_102_444_800_000)] | UnsetType = UNSET


Question = TypeVar("Question", bound=Struct)


def asked(query: Mapping[str, str], kind: type[Question], path: str) -> Question:
    """Return the question. Raises Unanswerable naming the parameter and what is allowed."""
    try:
        return msgspec.convert(dict(query), kind, strict=False)
    except msgspec.ValidationError as error:
        told, _, place = str(error).partition(" - at `$.")
        name = place.rstrip("`")
        if "unknown field" in told:
            told = told.replace("Object contains unknown field", "unknown parameter")
            fields = ", ".join(field.encode_name for field in msgspec.structs.fields(kind)) or "none"
            raise Unanswerable(400, told, path, f"parameters here: {fields}") from None
        told = told.replace("`str`", "text").replace("`int`", "a whole number").replace("`float`", "a number")
        raise Unanswerable(400, f"{name}: {told}", path, _allowed(kind, name)) from None


def parameters_of(kind: type[Struct]) -> dict[str, dict[str, Any]]:
    """Return the JSON schema of each parameter; None is that it is left out, and no value."""
    own = msgspec.json.schema(kind)["$defs"][kind.__name__]
    found: dict[str, dict[str, Any]] = {}
    for name, field in own["properties"].items():
        choices = [one for one in field.get("anyOf", [field]) if one.get("type") != "null"]
        found[name] = {key: value for key, value in choices[0].items() if value is not None}
        if field.get("default") is not None:
            found[name]["default"] = field["default"]
    return found


def _allowed(kind: type[Struct], name: str) -> str:
    schema = parameters_of(kind).get(name, {})
    if "enum" in schema:
        return f"one of {', '.join(schema['enum'])}"
    if "maximum" in schema:
        return f"{schema.get('minimum', 0)} to {schema['maximum']}"
    if "minimum" in schema:
        return f"{schema['minimum']:g} or more"
    return str(schema.get("description", "see /openapi.json"))


def moment_of(text: str, now_ms: int, name: str, path: str) -> int:
    """Return a moment in ms of Unix time.

    >>> moment_of("-15m", 1_790_000_000_000, "since", "/")
    1789999100000
    """
    if text == "now":
        return now_ms
    if before := _RELATIVE.fullmatch(text):
        return now_ms - int(before[1]) * _UNITS_MS[before[2]]
    if _NUMBER.fullmatch(text):
        number = float(text)
        return round(number if number >= _MILLISECONDS_FROM else 1000 * number)
    try:
        moment = datetime.fromisoformat(text)
        return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        mend = "write -15m, 2026-11-28T14:00 (UTC unless it names a zone), Unix seconds or ms"
        raise Unanswerable(400, f"{name}: {text!r} is no time", path, mend) from None
