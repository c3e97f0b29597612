"""What of the settings says who is told, how often and when not."""

from typing import Literal

from msgspec import Struct

from liqtape.events import WINDOWS, Level, Side

__all__ = ["AlarmRule", "ChannelSettings", "QuietHours", "check_rules", "minute_of"]

ChannelKind = Literal["log", "webhook", "apprise", "redis", "alertmanager", "python"]

_SCHEMES: dict[ChannelKind, tuple[str, ...]] = {
    "webhook": ("http://", "https://"),
    "alertmanager": ("http://", "https://"),
    "redis": ("redis://", "rediss://", "unix://"),
}
_DAY_MINUTES = 1_440


class ChannelSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """One place that messages go to.

    The address is `url`, or what the environment's variable `url_env` or the file `url_file` says, where it is a
    secret. `secret_env` or `secret_file` name the key that signs a webhook. `target` is the function of a `python`
    channel, as in `package.module:function`, and the channel of `redis`. `streams` are what is told there: `market`,
    and `service`, which is about liqtape itself. Of each stream at most `messages_per_hour` are sent.
    """

    kind: ChannelKind
    url: str = ""
    url_env: str = ""
    url_file: str = ""
    secret_env: str = ""
    secret_file: str = ""
    target: str = ""
    streams: tuple[Literal["market", "service"], ...] = ("market", "service")
    messages_per_hour: int = 20
    enabled: bool = True

    def __post_init__(self) -> None:
        named = [key for key in ("url", "url_env", "url_file") if getattr(self, key)]
        if len(named) > 1:
            raise ValueError(f"name one of {' and '.join(named)}")
        if self.kind in {"webhook", "apprise", "redis", "alertmanager"} and not named:
            raise ValueError(f"a channel of kind {self.kind} needs url, url_env or url_file")
        schemes = _SCHEMES.get(self.kind)
        if self.url and schemes is not None and not self.url.startswith(schemes):
            raise ValueError(f"url of a channel of kind {self.kind} must begin with {' or '.join(schemes)}")
        if self.kind == "python" and not all(self.target.partition(":")[::2]):
            raise ValueError("a channel of kind python needs target, as in package.module:function")
        if self.secret_env and self.secret_file:
            raise ValueError("name one of secret_env and secret_file")
        if not self.streams:
            raise ValueError("streams must name market, service or both")
        if self.messages_per_hour < 1:
            raise ValueError("messages_per_hour must be at least 1")

    def __repr__(self) -> str:
        return f"ChannelSettings({self.kind!r})"  # an address may be a secret

    def __rich_repr__(self) -> list[tuple[str, str]]:
        return [("kind", self.kind)]


class QuietHours(Struct, frozen=True, forbid_unknown_fields=True, repr_omit_defaults=True):
    """From `start` to `end` (`23:00`, in `zone`) market messages below `level` wait, and are told as a number after."""

    start: str = ""
    end: str = ""
    zone: str = "UTC"
    level: Level = "EXTREME"

    def __post_init__(self) -> None:
        if bool(self.start) != bool(self.end):
            raise ValueError("start and end must both be given, as in 23:00 and 07:00")
        for key in ("start", "end"):
            if getattr(self, key):
                try:
                    minute_of(getattr(self, key))
                except ValueError:
                    raise ValueError(f"{key} must be a time of day as in 23:00") from None
        if not self.zone:
            raise ValueError("zone must name a time zone, as in Europe/Zurich")

    def holds(self, minute_of_day: int) -> bool:
        """Whether it is quiet at that minute of the day in `zone`."""
        if not self.start:
            return False
        start, end = minute_of(self.start), minute_of(self.end)
        if start <= end:
            return start <= minute_of_day < end
        return minute_of_day >= start or minute_of_day < end


def minute_of(text: str) -> int:
    """Return the minute of the day of `HH:MM`.

    >>> minute_of("07:30")
    450
    """
    hours, _, minutes = text.partition(":")
    if not (hours.isdecimal() and minutes.isdecimal() and len(minutes) == 2):
        raise ValueError(text)
    minute = 60 * int(hours) + int(minutes)
    if int(minutes) > 59 or minute >= _DAY_MINUTES:
        raise ValueError(text)
    return minute


class AlarmRule(Struct, frozen=True, forbid_unknown_fields=True, repr_omit_defaults=True):
    """A rule of the user's own: a message when all that it names holds, once a crossing.

    `velocity` (liquidations/s), `usd` and `imbalance` (of USD, its size) are of the last `window` seconds, of `side`
    and `venues` alone where those are named; `breadth` is how many instruments rose within 60 s. A rule of `MARKET`
    looks at all instruments together. `severity` is told, and decides nothing but quiet hours.
    """

    name: str
    level: Level | None = None
    velocity: float | None = None
    acceleration: float | None = None
    usd: float | None = None
    imbalance: float | None = None
    breadth: int | None = None
    window: int = 60
    side: Side | None = None
    venues: tuple[str, ...] = ()
    instruments: tuple[str, ...] = ()
    cooldown: float = 300.0
    channels: tuple[str, ...] = ()
    severity: Level = "ALERT"

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("name must not be empty")
        if self.window not in WINDOWS:
            raise ValueError(f"window must be one of {', '.join(map(str, WINDOWS))} s")
        limits = ("level", "velocity", "acceleration", "usd", "imbalance", "breadth")
        if all(getattr(self, key) is None for key in limits):
            raise ValueError(f"rule {self.name!r} must name one of {', '.join(limits)}")
        for key in limits[1:]:
            limit = getattr(self, key)
            if limit is not None and not limit > 0:
                raise ValueError(f"{key} must be above 0")
        if self.imbalance is not None and self.imbalance > 1:
            raise ValueError("imbalance must be at most 1")
        if self.level == "NONE":
            raise ValueError("level must be WATCH, ALERT, CRITICAL or EXTREME")
        if self.cooldown < 0:
            raise ValueError("cooldown must be at least 0")
        if self.imbalance is not None and self.side is not None:
            raise ValueError("imbalance compares both sides; leave side out")


def check_rules(rules: tuple[AlarmRule, ...], channels: frozenset[str]) -> None:
    """Raise ValueError where two rules have one name, or one names a channel that is not there."""
    names: set[str] = set()
    for rule in rules:
        if rule.name in names:
            raise ValueError(f"two rules are named {rule.name!r}")
        names.add(rule.name)
        for channel in rule.channels:
            if channel not in channels:
                known = ", ".join(sorted(channels)) or "none"
                raise ValueError(f"rule {rule.name!r}: no channel {channel!r}; there are {known}")
