"""Policy and delivery together, fed by what a run tells."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Struct

from liqtape.alarms.delivery.dispatcher import Dispatcher
from liqtape.alarms.delivery.messagechannel import MessageChannel
from liqtape.alarms.policy.eventthread import EventThread
from liqtape.alarms.policy.messagepolicy import ANY_INSTRUMENT, MessagePolicy, PolicySettings, PolicyState
from liqtape.alarms.policy.messages import AddressedMessage, AlarmMessage, MemberFacts
from liqtape.alarms.policy.rulewatch import RowsOf, RuleReading
from liqtape.alarms.policy.scenes import breadth_of, rows_of, scene_of
from liqtape.alarms.policy.sightings import BREADTH_SCOPE
from liqtape.engine.levels.episodes import StreamState
from liqtape.engine.velocity import MARKET
from liqtape.errors import ConfigurationError
from liqtape.events import Alert, Level, Liquidation
from liqtape.ourtime import our_ms
from liqtape.pipeline.listener import Listener, Pulse
from liqtape.pipeline.pipeline import Pipeline

__all__ = ["QUEUE_FILE", "AlarmService", "EffectiveSteps", "OpenEvent", "minute_in"]

QUEUE_FILE = "alarms.sqlite"

_KEEP_MS = 60_000  # so often the state of the policy is kept where no message does it
# A clock that is off, a quiet venue and a ledger are told by `wrong`.
_WELL = frozenset({"live", "starting", "ok", "writing", "closed", "clock off", "quiet", "unbalanced"})

_log = logging.getLogger(__name__)


class EffectiveSteps(Struct, frozen=True):
    """From which return period a scope opens a thread now, by group; None before anything was watched."""

    budget_per_week: float
    watched_days: float
    market_days: float | None
    instrument_days: float | None
    named_days: float | None


class OpenEvent(Struct, frozen=True):
    """The market event that is open, with its thread."""

    thread: str
    began_ms: int
    level: Level
    messages: int
    members: tuple[MemberFacts, ...]
    up: tuple[str, ...]
    usd: float
    count: int
    venues: dict[str, float]


def minute_in(zone: str) -> Callable[[int], int]:
    """Return what says the minute of the day of a moment in ms; raises ConfigurationError for an unknown zone.

    >>> minute_in("Europe/Zurich")(1_790_000_000_000)
    993
    """
    try:
        place = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigurationError(f"alerts.quiet.zone: no time zone {zone!r}, as in Europe/Zurich") from error

    def minute(at_ms: int) -> int:
        local = datetime.fromtimestamp(at_ms / 1_000, UTC).astimezone(place)
        return 60 * local.hour + local.minute

    return minute


class _EventCount(Listener):
    """Counts liquidations into the event that is open. It listens only meanwhile: a call a frame has its price."""

    __slots__ = ("_policy",)

    def __init__(self, policy: MessagePolicy) -> None:
        self._policy = policy

    def accepted(self, events: Sequence[Liquidation], *, is_news: bool) -> None:  # noqa: ARG002 - all of it happened
        self._policy.add(events)


class AlarmService(Listener):
    """Hears of level changes and each second, and tells channels and `taps` what a person should know.

    It hears of events while a market event is open. `wrong` says what is wrong beside venues and services (subject:
    reason). Where a `path` is named the queue is there, else in memory.
    """

    __slots__ = (
        "_clock",
        "_count",
        "_engine",
        "_kept_ms",
        "_listeners",
        "_minute",
        "_now_ms",
        "_wrong",
        "active",
        "dispatcher",
        "policy",
        "settings",
        "taps",
    )

    def __init__(
        self,
        settings: PolicySettings,
        channels: Sequence[MessageChannel],
        pipeline: Pipeline,
        *,
        path: Path | None = None,
        wrong: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self.settings = settings
        self.taps: list[Callable[[AlarmMessage], None]] = []
        self.dispatcher = Dispatcher(channels, path)
        self._minute = minute_in(settings.quiet.zone)
        self.policy = MessagePolicy(settings, None, self._minute)
        self.active: Collection[str] = ()  # instruments
        self._engine, self._clock, self._wrong = pipeline.engine, pipeline.clock, wrong
        self._now_ms = self._kept_ms = 0
        self._listeners = pipeline.listeners
        self._count: _EventCount | None = None

    async def start(self) -> None:
        """Open the queue, go on where the last run ended, and begin to send."""
        kept = await self.dispatcher.open()
        self._kept_ms = our_ms()
        if kept is not None:
            try:
                state = msgspec.json.decode(kept, type=PolicyState)
            except msgspec.MsgspecError as error:
                _log.warning("alarms: what was kept of the last run cannot be read, starting anew: %s", error)
            else:
                self.policy = MessagePolicy(self.settings, state, self._minute)
                self._follow()
        self.dispatcher.start()

    async def stop(self, seconds: float = 2.0) -> None:
        """Keep all; what is not sent is sent after the next start."""
        self._keep()
        await self.dispatcher.stop(seconds)

    def alert(self, alert: Alert) -> None:
        """Look at the levels, of which one has changed."""
        self._look(alert.at_ms)

    def pulse(self, pulse: Pulse) -> None:
        """Look at everything, once a second."""
        self._look(pulse.now_ms)
        self.active = pulse.active
        if self.settings.rules:
            breadth = breadth_of(self._engine, pulse.now_ms)
            self._tell(self.policy.look_rules(pulse.now_ms, pulse.active, self._rows(), breadth))
        self._tell(self.policy.look_conditions(pulse.our_ms, self._conditions(pulse)))
        if pulse.our_ms - self._kept_ms >= _KEEP_MS:
            self._kept_ms = pulse.our_ms
            self._keep()

    def begin_with(self, state: StreamState) -> None:
        """Let the budget go on from what it learned elsewhere, where it has learned nothing."""
        if not self.policy.budget.watched_days(self._now_ms):
            self.policy.budget.restore(state)

    def _look(self, now_ms: int) -> None:
        if now_ms < self._now_ms:  # a counted step of the clock
            self.policy.shift(now_ms - self._now_ms)
        self._now_ms = now_ms
        self._tell(self.policy.look(scene_of(self._engine, now_ms, self._clock.now_at)))
        self._follow()

    def _follow(self) -> None:
        """Listen to events while one is open."""
        if self.policy.thread is not None and self._count is None:
            self._count = _EventCount(self.policy)
            self._listeners.add(self._count)
        elif self.policy.thread is None and self._count is not None:
            self._listeners.remove(self._count)
            self._count = None

    def _keep(self) -> None:
        if self.policy.budget.watched_ms(self._now_ms) or self.policy.thread is not None:
            self.dispatcher.submit((), self._state())

    def _rows(self) -> RowsOf:
        return rows_of(self._engine, self._now_ms, self._clock.now_at)

    def _conditions(self, pulse: Pulse) -> dict[str, str]:
        """Return what is wrong now, by subject."""
        found = dict(self._wrong())
        for one in (*pulse.health, *pulse.services):
            if one.state not in _WELL:
                found[one.venue] = f"{one.state}: {one.detail}" if one.detail else one.state
        if self.dispatcher.detail:
            found["alarms"] = self.dispatcher.detail
        for channel, reason in self.dispatcher.failing.items():
            found[f"alarm channel {channel}"] = reason
        return found

    def readings(self) -> list[RuleReading]:
        """Return what each rule reads now, and what is left to its USD."""
        return self.policy.rule_readings(self.active, self._rows(), breadth_of(self._engine, self._now_ms))

    def open_event(self) -> OpenEvent | None:
        """Return the market event that is open."""
        thread = self.policy.thread
        return None if thread is None else _shown(thread)

    def wakes_at_days(self, scope: str) -> float | None:
        """Return the return period from which an instrument, or the market, opens a thread now."""
        return self.policy.wakes_at_days(scope)

    def steps(self) -> EffectiveSteps:
        """Return the effective steps."""
        policy = self.policy
        named = next(iter(sorted(self.settings.named)), None)
        return EffectiveSteps(
            self.settings.budget_per_week,
            policy.budget.watched_days(self._now_ms),
            policy.wakes_at_days(MARKET),
            policy.wakes_at_days(ANY_INSTRUMENT),
            None if named is None else policy.wakes_at_days(named),
        )

    def _state(self) -> bytes:
        return msgspec.json.encode(self.policy.state(self._now_ms))

    def _tell(self, messages: Sequence[AddressedMessage]) -> None:
        if messages:
            self.dispatcher.submit(messages, self._state())
        for message in self.policy.take_made():
            for tap in tuple(self.taps):
                tap(message)


def _shown(thread: EventThread) -> OpenEvent:
    usd, count, venues = thread.totals()
    members = tuple(thread.members.values())
    up = tuple(sorted(thread.up, key=lambda scope: (scope in {MARKET, BREADTH_SCOPE}, scope)))
    return OpenEvent(thread.id, thread.began_ms, thread.level, thread.number, members, up, usd, count, venues)
