"""The policy: of many level changes few messages, one thread a market event, a budget for all that is watched."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct

from liqtape.alarms.policy.addressing import Addressing, AddressingState
from liqtape.alarms.policy.channelgate import HOUR_MS
from liqtape.alarms.policy.conditionwatch import Condition, ConditionWatch
from liqtape.alarms.policy.eventthread import END_MS, JOIN_MS, EventThread
from liqtape.alarms.policy.messagebudget import MARKET_GROUP, MessageBudget
from liqtape.alarms.policy.messages import AddressedMessage, AlarmMessage, MemberFacts
from liqtape.alarms.policy.rulewatch import RowsOf, RuleReading, RuleWatch
from liqtape.alarms.policy.sightings import BREADTH_SCOPE, Scene, Sighting
from liqtape.alarms.policy.threadmessages import LaterNote, end_message, later_message, news_message
from liqtape.alarmsettings import AlarmRule, ChannelSettings, QuietHours
from liqtape.engine.levels.episodes import StreamState
from liqtape.engine.velocity import MARKET
from liqtape.events import LEVELS, Level, Liquidation

__all__ = ["ANY_INSTRUMENT", "COOLDOWN_MS", "UPDATE_MS", "MessagePolicy", "PolicySettings", "PolicyState"]

COOLDOWN_MS = 300_000
"""So long an instrument's level is no news again; a higher one is."""

ANY_INSTRUMENT = ""
"""Stands for an instrument that was not named."""

UPDATE_MS = 60_000
"""So long after a message of an event the next may come, unless it is a step up."""

_MOST_MADE = 1_000
_CRITICAL = LEVELS.index("CRITICAL")


class PolicySettings(Struct, frozen=True):
    """What the policy is built from; channels that are not enabled are left out.

    `named` may hold several spellings of what the user named; `named_count` is how many those are.
    """

    budget_per_week: float = 3.0
    named: frozenset[str] = frozenset()
    named_count: int = 1
    muted: frozenset[str] = frozenset()
    link: str = ""
    follow_up: bool = False
    quiet: QuietHours = QuietHours()
    channels: Mapping[str, ChannelSettings] = {}
    rules: Sequence[AlarmRule] = ()


class PolicyState(Struct, frozen=True):
    """All that outlives a restart."""

    budget: StreamState = StreamState(0.0, {})
    thread: EventThread | None = None
    addressing: AddressingState = AddressingState()
    told_ms: dict[str, int] = {}
    later: list[LaterNote] = []
    conditions: dict[str, Condition] = {}
    fired: dict[str, int] = {}


def _utc_minute(at_ms: int) -> int:
    return at_ms // 60_000 % 1_440


class MessagePolicy:
    """Scenes in, messages out. Times are those of the evaluation and never go back; `shift` tells of a step.

    `minute_of_day` says what time of day a moment is in the zone of the quiet hours; without it that is UTC.
    """

    def __init__(
        self,
        settings: PolicySettings,
        state: PolicyState | None = None,
        minute_of_day: Callable[[int], int] = _utc_minute,
    ) -> None:
        kept = PolicyState() if state is None else state
        self.settings = settings
        self.budget = MessageBudget(settings.budget_per_week, 3 if settings.named else 2)
        self.budget.restore(kept.budget)
        self.thread: EventThread | None = kept.thread
        self.threads_total = 0
        self._addressing = Addressing(settings.channels, settings.quiet, kept.addressing, minute_of_day, settings.link)
        self._told_ms = dict(kept.told_ms)  # "scope/level": when that was told last
        self._later = list(kept.later)
        self._conditions = ConditionWatch(kept.conditions)
        self._rules = RuleWatch(settings.rules, settings.link, kept.fired)
        self._highest: dict[str, float] = {}  # of each scope that is seen, looked at by the budget
        self._risen: dict[str, tuple[int, int]] = {}  # of each scope that is seen: its level, and when it rose to it
        self._instruments = 1
        self._now_ms = 0
        self._made: list[AlarmMessage] = []

    # What comes in

    def add(self, events: Iterable[Liquidation]) -> None:
        """Count liquidations into the event that is open."""
        if self.thread is not None:
            self.thread.add(events)

    def look(self, scene: Scene) -> list[AddressedMessage]:
        """Look at a moment; returns what is to be told."""
        self._instruments, self._now_ms = scene.instruments, scene.at_ms
        if scene.is_watched:
            self.budget.up(scene.at_ms)
        else:
            self.budget.down(scene.at_ms)
        seen = {one.scope: one for one in scene.sightings if one.scope not in self.settings.muted}
        self._note_rises(seen, scene.at_ms)
        cause = self._cause(seen, scene)
        messages: list[AlarmMessage] = []
        if self.thread is None and cause is not None:
            self._open(cause, scene)
        if self.thread is not None:
            self._follow(self.thread, seen, cause, scene)
            messages += self._thread_messages(self.thread, scene)
        messages += self._take_later(scene)
        return [*self._addressed(messages, scene.at_ms), *self._addressing.digests(scene.at_ms)]

    def look_rules(self, now_ms: int, active: Iterable[str], rows_of: RowsOf, breadth: int) -> list[AddressedMessage]:
        """Look at the user's rules, once a second."""
        if not self._rules.rules:
            return []
        found: list[AddressedMessage] = []
        for crossing in self._rules.look(now_ms, active, rows_of, breadth):
            self._made.append(crossing.message)
            found += self._addressing.address([crossing.message], now_ms, crossing.rule.channels or None)
            self._addressing.forget(crossing.message.thread)
        return found

    def rule_readings(self, active: Iterable[str], rows_of: RowsOf, breadth: int) -> list[RuleReading]:
        """Return what each of the user's rules reads now."""
        return self._rules.readings(active, rows_of, breadth)

    def look_conditions(self, now_ms: int, wrong: Mapping[str, str]) -> list[AddressedMessage]:
        """Look at what is wrong with liqtape itself, (subject: reason), by our own time, once a second."""
        return self._addressed(self._conditions.look(now_ms, wrong), now_ms)

    def shift(self, by_ms: int) -> None:
        """Move all moments: the clock of the evaluation took a step."""
        self.budget.shift(by_ms)
        self._rules.shift(by_ms)
        if self.thread is not None:
            self.thread.shift(by_ms)
        self._risen = {scope: (level, at_ms + by_ms) for scope, (level, at_ms) in self._risen.items()}
        self._told_ms = {name: at_ms + by_ms for name, at_ms in self._told_ms.items()}

    def due_ms(self) -> int | None:
        """Return when the event that is open will be over if nothing rises until then; None where none is."""
        return None if self.thread is None else self.thread.last_up_ms + END_MS

    def finish(self, scene: Scene) -> list[AddressedMessage]:
        """End the event that is open: what came after is not known."""
        if self.thread is None:
            return []
        return self._addressed([self._end(self.thread, scene)], scene.at_ms)

    # What is asked

    def group_size(self, scope: str) -> int:
        """Return how many scopes share the group of this one."""
        if scope in {MARKET, BREADTH_SCOPE}:
            return MARKET_GROUP
        if scope in self.settings.named:
            return self.settings.named_count
        return max(1, self._instruments)

    def wakes_at_days(self, scope: str) -> float | None:
        """Return the effective step of a scope: the return period from which it opens a thread now."""
        return self.budget.wakes_at_days(self.group_size(scope), self._now_ms)

    def state(self, at_ms: int) -> PolicyState:
        """Return all that outlives a restart, and go on."""
        return PolicyState(
            self.budget.state(at_ms),
            self.thread,
            self._addressing.state(),
            {name: told_ms for name, told_ms in self._told_ms.items() if at_ms - told_ms < COOLDOWN_MS},
            list(self._later),
            dict(self._conditions.conditions),
            dict(self._rules.fired),
        )

    # Threads

    def _note_rises(self, seen: Mapping[str, Sighting], at_ms: int) -> None:
        risen: dict[str, tuple[int, int]] = {}
        for scope, one in seen.items():
            step = LEVELS.index(one.level)
            before = self._risen.get(scope)
            risen[scope] = (step, at_ms) if before is None or step > before[0] else (step, before[1])
        self._risen = risen

    def _cause(self, seen: Mapping[str, Sighting], scene: Scene) -> Sighting | None:
        """Let the budget look at what is at its highest, the rarest first; return what opens a thread."""
        higher = []
        for scope, one in seen.items():
            before = self._highest.get(scope, 0.0)
            if one.highest > before and one.return_days is not None:
                higher.append((one.return_days / self.group_size(scope), scope))
        self._highest = {scope: one.highest for scope, one in seen.items()}
        found = None
        for _, scope in sorted(higher, reverse=True):
            one = seen[scope]
            if self.budget.look(scene.at_ms, one.return_days or 0.0, self.group_size(scope)) and found is None:
                found = one
        if found is None and self.thread is None:
            found = next((one for one in seen.values() if self._is_public(one, scene.at_ms)), None)
        return found

    def _is_public(self, one: Sighting, at_ms: int) -> bool:
        """Whether it is so much that it is told whatever was learned, and was not just told."""
        is_high = one.is_public and LEVELS.index(one.level) >= _CRITICAL
        return is_high and not self._is_cooling(one.scope, one.level, at_ms)

    def _open(self, cause: Sighting, scene: Scene) -> None:
        at_ms = scene.at_ms
        self.threads_total += 1
        thread = self.thread = EventThread(f"event-{at_ms}", at_ms, at_ms, last_up_ms=at_ms)
        thread.begin(scene.surroundings().minutes)
        thread.take(cause, self.wakes_at_days(cause.scope), at_ms)

    def _follow(self, thread: EventThread, seen: Mapping[str, Sighting], cause: Sighting | None, scene: Scene) -> None:
        at_ms = scene.at_ms
        for scope, one in seen.items():
            rose_ms = self._risen[scope][1]
            is_member = scope in thread.members or one is cause
            if is_member or (rose_ms >= thread.last_rise_ms - JOIN_MS and at_ms - thread.last_rise_ms <= JOIN_MS):
                thread.take(one, self.wakes_at_days(scope), at_ms)
        thread.look(seen, at_ms, is_watched=scene.is_watched)
        thread.price(scene.btc_price)

    def _thread_messages(self, thread: EventThread, scene: Scene) -> list[AlarmMessage]:
        if not thread.number:
            return [self._tell(thread, scene)]
        if thread.is_over(scene.at_ms):
            return [self._end(thread, scene)]
        is_step_up = LEVELS.index(thread.level) > LEVELS.index(thread.told_level)
        if is_step_up or (scene.at_ms - thread.told_ms >= UPDATE_MS and self._has_news(thread, scene.at_ms)):
            return [self._tell(thread, scene)]
        return []

    def _has_news(self, thread: EventThread, at_ms: int) -> bool:
        """Whether somebody joined whose level was not just told, or the event became twice as rare."""
        if thread.rarest_days > 0.0 and thread.rarest_days >= 2 * thread.told_days:
            return True
        return any(
            scope not in thread.told_members and not self._is_cooling(scope, facts.level, at_ms)
            for scope, facts in thread.members.items()
        )

    def _is_cooling(self, scope: str, level: Level, at_ms: int) -> bool:
        steps = LEVELS[LEVELS.index(level) :]
        return any(at_ms - self._told_ms.get(f"{scope}/{step}", -COOLDOWN_MS) < COOLDOWN_MS for step in steps)

    def _tell(self, thread: EventThread, scene: Scene) -> AlarmMessage:
        around = scene.surroundings()
        if around.times_usual is not None:
            thread.peak_times_usual = max(thread.peak_times_usual or 0.0, around.times_usual)
        thread.number += 1
        thread.told_ms, thread.told_level = scene.at_ms, thread.level
        thread.told_members, thread.told_days = set(thread.members), thread.rarest_days
        for scope, facts in thread.members.items():
            self._told_ms[f"{scope}/{facts.level}"] = scene.at_ms
        first = max(thread.members, key=lambda scope: self._rarity(thread.members[scope]))
        return news_message(thread, scene, around, first, self.settings.budget_per_week, self.settings.link)

    def _rarity(self, facts: MemberFacts) -> float:
        return (facts.return_days or 0.0) / self.group_size(facts.scope)

    def _end(self, thread: EventThread, scene: Scene) -> AlarmMessage:
        thread.number += 1
        self.thread = None
        if self.settings.follow_up:
            price = None if thread.btc is None else thread.btc.last
            due_ms = scene.at_ms + HOUR_MS
            self._later.append(LaterNote(due_ms, thread.id, thread.number + 1, thread.began_ms, price))
        return end_message(thread, scene, scene.surroundings(), self.settings.link)

    def _take_later(self, scene: Scene) -> list[AlarmMessage]:
        due = [note for note in self._later if scene.at_ms >= note.due_ms]
        self._later = [note for note in self._later if scene.at_ms < note.due_ms]
        return [later_message(note, scene, self.settings.link) for note in due]

    def take_made(self) -> list[AlarmMessage]:
        """Return the messages that were made since the last call, whoever gets them or not."""
        made, self._made = self._made, []
        return made

    def _addressed(self, messages: Sequence[AlarmMessage], now_ms: int) -> list[AddressedMessage]:
        self._made = [*self._made, *messages][-_MOST_MADE:]
        found = self._addressing.address(messages, now_ms)
        for message in messages:
            if message.kind in {"well", "later"} or (message.kind == "end" and not self.settings.follow_up):
                self._addressing.forget(message.thread)
        return found
