"""The judgement: what was delivered, what is in the log, what was reported missing. Pure, and slow on purpose."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from chaos.plan import SILENCE_LIMIT, Plan, Strike
from msgspec import Struct

from liqtape.events import Liquidation
from liqtape.simulator import micro_usd_of
from liqtape.simulator.wire import SentRow
from liqtape.venues import VENUES as LIVE

__all__ = ["Arrival", "Evidence", "Interval", "Key", "Verdict", "judged", "key_of_logged", "key_of_row", "matched"]

Key = tuple[str, str, str, int, int]
"""Venue, symbol, side, event time, USD in millionths: what the log and the simulator both know of a liquidation."""

_STRUCK_MS = 700.0
"""How much later than planned a strike may fall on a busy machine. What a venue sent needs no such thing: its stamps
and the gaps are of one clock.
"""

_COMMITTED_MS = 500.0
"""After which what arrived is on disk; 45 ms were the most in 40 scenarios."""

_DETECTED_MS = 3_500.0
"""Beyond the silence limit: a pulse a second, and this machine is shared."""


class Arrival(Struct, frozen=True):
    """A liquidation that reached a socket of ours, by the proxy's book."""

    row: SentRow
    at_ms: float
    message: tuple[int, int] = (0, 0)
    """Which message of which connection told of it."""

    @property
    def identity(self) -> tuple[object, ...]:
        """What the venue's identity of it stands on; Bybit's rows bear no number, and a repeat looks like the first."""
        row = self.row
        same = (row.price, row.size) if row.venue == "bybit" else (row.serial,)
        return (*key_of_row(row), *same)


class Interval(Struct, frozen=True):
    """A time in which a venue was, or was not, seen."""

    venue: str
    from_ms: float
    until_ms: float

    def holds(self, at_ms: float, tolerance_ms: float = 0.0) -> bool:
        return self.from_ms - tolerance_ms <= at_ms <= self.until_ms + tolerance_ms


class Evidence(Struct, frozen=True):
    """All that is known of a scenario when it is over; wall milliseconds, but the log's."""

    plan: Plan
    began_ms: float
    arrivals: Sequence[Arrival]
    published: Sequence[Arrival]
    """Every liquidation at the moment its venue sent it, whoever heard it."""
    told: Sequence[SentRow]
    """What came by other ways: snapshots, REST."""
    logged: Sequence[Liquidation]
    """In the order of the log."""
    covered: Sequence[Interval]
    gaps: Sequence[Interval]
    states: Sequence[tuple[float, str, str]]
    killed_ms: Sequence[float]
    until_ms: float
    reported: int
    """So many of the log's events had been there when the windows were asked for."""
    done_ms: Mapping[Strike, tuple[float, float]] = {}
    """When each strike began and ended really, if that is known."""


class Verdict(Struct):
    """What was found; `lost`, `duplicated`, `unreported` and `problems` should be zero and empty."""

    seed: int
    events: int = 0
    delivered: int = 0
    """By the proxies' book, each once."""
    lost: int = 0
    duplicated: int = 0
    unreported: int = 0
    excused: int = 0
    """Arrived before a kill of ours, not logged yet, and within the gap that is reported of it."""
    excused_ms: float = 0.0
    """The longest time between such an arrival and the kill."""
    refused: int = 0
    """Of a clock that jumped, when as many events as may wait did so: rejected and counted, as promised."""
    unsized: int = 0
    """Events whose contract was not known yet: their value stays unknown, as is promised."""
    unasked: int = 0
    """Of symbols that were not subscribed, as the venue's list of them could not be had."""
    seconds: float = 0.0
    problems: list[str] = []

    @property
    def is_good(self) -> bool:
        return not (self.lost or self.duplicated or self.unreported or self.problems)


def key_of_row(row: SentRow) -> Key:
    """Of what the simulator printed."""
    return row.venue, row.symbol, row.side, row.event_ms, micro_usd_of(row.venue, row.symbol, row.price, row.size)


def key_of_logged(event: Liquidation) -> Key:
    """Of what the service logged."""
    usd = -1 if event.notional_usd is None else round(event.notional_usd * 1_000_000)
    return event.venue, event.symbol, event.side or "", event.event_ms, usd


def _moments(arrivals: Iterable[Arrival]) -> dict[Key, list[float]]:
    """When each liquidation came first. Equal rows of Bybit are different ones if they stand in one message."""
    per_message: dict[tuple[object, ...], dict[tuple[int, int], dict[int, float]]] = defaultdict(dict)
    for arrival in arrivals:
        rows = per_message[arrival.identity].setdefault(arrival.message, {})
        rows.setdefault(arrival.row.serial, arrival.at_ms)
    moments: dict[Key, list[float]] = defaultdict(list)
    for identity, messages in per_message.items():
        most = max(len(rows) for rows in messages.values())
        first = min(min(rows.values()) for rows in messages.values())
        moments[identity[:5]] += [first] * most  # type: ignore[index]
    return moments


def judged(evidence: Evidence) -> Verdict:
    """Lost, duplicated, unreported; what a kill of ours excuses is counted apart."""
    verdict = Verdict(evidence.plan.seed)
    logged = _logged(evidence, evidence.logged)
    verdict.events = logged.total()
    verdict.unsized = sum(event.notional_usd is None for event in evidence.logged)
    _judge_duplicates(evidence, logged, verdict)
    missing = _judge_losses(evidence, logged, verdict)
    _judge_holes(evidence, logged, missing, verdict)
    _judge_outages(evidence, verdict)
    return verdict


def _logged(evidence: Evidence, events: Sequence[Liquidation]) -> Counter[Key]:
    """What is in the log. An event without value counts as the liquidation it can only be."""
    logged = Counter(key_of_logged(event) for event in events if event.notional_usd is not None)
    unsized = [key_of_logged(event) for event in events if event.notional_usd is None]
    if unsized:
        known = _known(evidence)
        for key in unsized:
            logged[next((k for k in known if k[:4] == key[:4] and logged[k] < len(known[k])), key)] += 1
    return logged


def _known(evidence: Evidence) -> dict[Key, dict[int, SentRow]]:
    known: dict[Key, dict[int, SentRow]] = defaultdict(dict)
    rows = [arrival.row for arrival in (*evidence.published, *evidence.arrivals)]
    for row in (*rows, *evidence.told):
        known[key_of_row(row)][row.serial] = row
    return known


def matched(evidence: Evidence) -> list[SentRow]:
    """The simulator's rows of what was in the log when the windows were asked for, for counting them again."""
    known = _known(evidence)
    logged = _logged(evidence, evidence.logged[: evidence.reported])
    return [row for key, count in logged.items() for row in list(known.get(key, {}).values())[:count]]


def _judge_duplicates(evidence: Evidence, logged: Mapping[Key, int], verdict: Verdict) -> None:
    known = _known(evidence)
    for key, count in logged.items():
        if key not in known:
            verdict.problems.append(f"nobody sent {key}")
        elif count > len(known[key]):
            verdict.duplicated += count - len(known[key])
            verdict.problems.append(f"logged {count} times, sent {len(known[key])}: {key}")


def _judge_losses(evidence: Evidence, logged: Mapping[Key, int], verdict: Verdict) -> set[Key]:
    """Every delivered liquidation is in the log, or fell into the gap that a kill of ours left."""
    missing: set[Key] = set()
    published = _moments(evidence.published)
    for key, arrived in _moments(evidence.arrivals).items():
        verdict.delivered += len(arrived)
        absent = len(arrived) - logged.get(key, 0)
        if absent <= 0:
            continue
        is_told = any(_is_told(evidence, key, at_ms) for at_ms in published.get(key, arrived))
        excuses = sum(
            is_told and any(0 <= kill - at_ms <= _COMMITTED_MS for kill in evidence.killed_ms) for at_ms in arrived
        )
        verdict.excused += min(absent, excuses)
        if excuses:
            before = (kill - at_ms for at_ms in arrived for kill in evidence.killed_ms if at_ms <= kill)
            verdict.excused_ms = max(verdict.excused_ms, round(max(before), 1))
        missing.add(key)
        if absent > excuses:
            verdict.lost += absent - excuses
            at_s = (min(arrived) - evidence.began_ms) / 1000
            verdict.problems.append(f"lost {absent - excuses} of {len(arrived)}, arrived at {at_s:.2f} s: {key}")
    return missing


def _is_told(evidence: Evidence, key: Key, sent_ms: float) -> bool:
    """Whether windows that lack this liquidation say that something is missing: its stamp lies where the venue is not
    covered. What the venue sent later than it usually does is excused by the moment it was sent at, as documented.
    """
    venue, event_ms = key[0], key[3]
    sent_ms += evidence.plan.skew_at(venue, (sent_ms - evidence.began_ms) / 1000)
    is_late = sent_ms - event_ms > LIVE[venue].max_publish_delay_ms
    return any(spell.holds(event_ms) or (is_late and spell.holds(sent_ms)) for spell in _uncovered(evidence, venue))


def _uncovered(evidence: Evidence, venue: str) -> list[Interval]:
    """When the feed was not up and its gap was not filled, by the log."""
    spans = sorted((span for span in evidence.covered if span.venue == venue), key=lambda span: span.from_ms)
    found: list[Interval] = []
    until_ms = float("-inf")
    for span in spans:
        if span.from_ms > until_ms:
            found.append(Interval(venue, until_ms, span.from_ms))
        until_ms = max(until_ms, span.until_ms)
    found.append(Interval(venue, until_ms, float("inf")))
    return found


def _judge_holes(evidence: Evidence, logged: Mapping[Key, int], missing: set[Key], verdict: Verdict) -> None:
    """What a venue sent and we do not have was sent while the venue is reported as not seen."""
    for key, moments in _moments(evidence.published).items():
        if key in missing or logged.get(key, 0) >= len(moments):
            continue
        for at_ms in moments[logged.get(key, 0) :]:
            if at_ms > evidence.until_ms or _is_unknowable(evidence, key[0], at_ms):
                continue
            if not _is_told(evidence, key, at_ms):
                verdict.unreported += 1
                at_s = (at_ms - evidence.began_ms) / 1000
                verdict.problems.append(f"never came, sent at {at_s:.2f} s, and no gap is reported: {key}")


def _is_unknowable(evidence: Evidence, venue: str, at_ms: float) -> bool:
    """Whether the venue itself said nothing for less than the silence limit: no protocol here numbers its messages.

    Of a longer silence that is so, where a feed began to live in it, for the rest that it saw.
    """
    for strike in evidence.plan.strikes:
        if strike.kind != "stall" or strike.against != venue:
            continue
        begin_ms = evidence.began_ms + 1_000 * strike.at
        end_ms = begin_ms + 1_000 * strike.seconds
        lives = [s.from_ms for s in evidence.covered if s.venue == venue and begin_ms < s.from_ms <= at_ms]
        seen_ms = max([begin_ms, *lives])
        if end_ms - seen_ms <= 1_000 * SILENCE_LIMIT and seen_ms - 200 <= at_ms <= end_ms + 200:
            return True
    return False


def _judge_outages(evidence: Evidence, verdict: Verdict) -> None:
    for strike in evidence.plan.strikes:
        if strike.against in evidence.plan.redundancy and not _is_reported(evidence, strike):
            verdict.unreported += 1
            verdict.problems.append(f"no gap, or too late: {strike}")


def _is_reported(evidence: Evidence, strike: Strike) -> bool:
    """Whether the strike, if it was an outage, shows as a gap of its length, noticed within the silence limit."""
    planned_ms = evidence.began_ms + 1000 * strike.at
    began_ms, end_ms = evidence.done_ms.get(strike, (planned_ms, planned_ms + 1000 * strike.seconds))
    if any(began_ms - 3_000 < kill < end_ms + 5_000 for kill in evidence.killed_ms):
        return True  # the worker was away itself, which is judged by what is missing
    skew_ms = evidence.plan.skew_ms.get(strike.against, 0)
    at_ms = began_ms + skew_ms
    gaps = [gap for gap in evidence.gaps if gap.venue == strike.against]
    if strike.is_long:
        covers = any(gap.holds(at_ms, _STRUCK_MS) and gap.holds(end_ms + skew_ms) for gap in gaps)
        return covers and _is_noticed(evidence, strike.against, began_ms + evidence.plan.shift_ms)
    if strike.is_outage and strike.kind != "notice":
        return any(gap.holds(at_ms, _STRUCK_MS) for gap in gaps)
    return True


def _is_noticed(evidence: Evidence, venue: str, began_ms: float) -> bool:
    latest_ms = began_ms + 1000 * SILENCE_LIMIT + _DETECTED_MS
    return any(
        name == venue and state != "live" and began_ms - 2_000 <= at_ms <= latest_ms
        for at_ms, name, state in evidence.states
    )


def intervals(rows: Iterable[tuple[str, int, int | None]], until_ms: float) -> list[Interval]:
    """Rows of the log; what is open lasts until the end."""
    return [Interval(venue, from_ms, until_ms if end is None else end) for venue, from_ms, end in rows]
