"""Messages in words: what, how much, why now, how often, what is missing, where to look, how to mute."""

from collections.abc import Mapping, Sequence

from liqtape.alarms.policy.eventthread import EventThread, PriceSpan
from liqtape.alarms.policy.messages import MemberFacts
from liqtape.alarms.policy.sightings import BREADTH_SCOPE, Surroundings
from liqtape.engine.velocity import MARKET
from liqtape.events import LEVELS

__all__ = [
    "begin_text",
    "days_words",
    "end_text",
    "headline",
    "linked",
    "member_line",
    "seconds_words",
    "usd_words",
    "wakes_words",
]

_MOST_MEMBERS = 8
_NEVER_DAYS = 3_650.0


def usd_words(usd: float) -> str:
    """Return an amount as people say it.

    >>> usd_words(41_234_567.0), usd_words(812.4)
    ('$41.2M', '$812')
    """
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if usd >= 0.9995 * size:
            return f"${usd / size:.3g}{unit}" if usd / size < 999.5 else f"${usd / size:.0f}{unit}"
    return f"${usd:.0f}"


def days_words(days: float) -> str:
    """Return a return period as people say it.

    >>> days_words(12.4), days_words(0.25), days_words(800.0)
    ('12 days', '6.0 h', '2.2 years')
    """
    if days < 1 / 24:
        return f"{24 * 60 * days:.0f} min"
    if days < 2:
        return f"{24 * days:.1f} h"
    return f"{days:.0f} days" if days < 730 else f"{days / 365.25:.1f} years"


def seconds_words(ms: int) -> str:
    """Return a duration as people say it.

    >>> seconds_words(95_000), seconds_words(7_260_000)
    ('1 min 35 s', '2 h 1 min')
    """
    seconds = ms // 1_000
    if seconds < 60:
        return f"{seconds} s"
    minutes = seconds // 60
    return f"{minutes} min {seconds % 60} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def linked(base: str, at_ms: int) -> str:
    """Return the address of the dashboard at a moment; empty where there is none."""
    return f"{base.rstrip('/')}/?at={at_ms}" if base else ""


def _amount(facts: MemberFacts) -> str:
    return f"{facts.highest:.0f} instruments" if facts.scope == BREADTH_SCOPE else usd_words(facts.highest)


def _ranked(members: Mapping[str, MemberFacts]) -> list[MemberFacts]:
    return sorted(members.values(), key=lambda facts: (-LEVELS.index(facts.level), -facts.highest, facts.scope))


def headline(cause: MemberFacts, leader: str | None = None) -> str:
    """Return the one line that says it all; of a whole market it names the instrument with the most USD, `leader`.

    >>> headline(MemberFacts("BREADTH", "CRITICAL", 4.0, 0, 12.0, 30.0), "BTCUSDT")
    'CRITICAL: 4 instruments rose within 60 s, once in 12 days, most USD BTCUSDT'
    >>> headline(MemberFacts("ETHUSDT", "ALERT", 2.5e6, 9, 3.0, 30.0), "BTCUSDT")
    'ALERT: ETHUSDT $2.5M liquidated within 60 s, once in 3 days'
    """
    often = "" if cause.return_days is None else f", once in {days_words(cause.return_days)}"
    if cause.scope == BREADTH_SCOPE:
        return f"{cause.level}: {cause.highest:.0f} instruments rose within 60 s{often}{_most_of_it(leader)}"
    most = _most_of_it(leader) if cause.scope == MARKET else ""
    return f"{cause.level}: {cause.scope} {_amount(cause)} liquidated within 60 s{often}{most}"


def _most_of_it(leader: str | None) -> str:
    return "" if leader is None else f", most USD {leader}"


def member_line(facts: MemberFacts) -> str:
    """Return why a scope is in the event: numbers, window, return period and what that was learned from."""
    parts = [f"{facts.scope} {facts.level}: {_amount(facts)} in 60 s"]
    if facts.count_60s:
        parts.append(f"{facts.count_60s} liquidations")
    if facts.return_days is not None:
        parts.append(f"once in {days_words(facts.return_days)}")
    learned = f"{facts.watched_days:.1f} days watched"
    learned += ", learning" if facts.is_learning else ""
    learned += ", extrapolated" if facts.is_extrapolated else ""
    parts.append(learned)
    amount = "{:.0f} instruments".format if facts.scope == BREADTH_SCOPE else usd_words
    if facts.threshold is not None:
        parts.append(f"its level from {amount(facts.threshold)}")
    if facts.floor:
        parts.append(f"floor {amount(facts.floor)}")
    if facts.wakes_at_days is not None:
        parts.append(wakes_words(facts.wakes_at_days))
    return ", ".join(parts)


def wakes_words(days: float) -> str:
    """Return the effective step of a scope in words.

    >>> wakes_words(12.0), wakes_words(0.3)
    ('wakes at once in 12 days', 'wakes at any ALERT')
    """
    if days > _NEVER_DAYS:
        return "wakes at what is CRITICAL while learning, and hardly at anything else yet"
    return f"wakes at once in {days_words(days)}" if days > 1 else "wakes at any ALERT"


def _members_text(members: Mapping[str, MemberFacts]) -> list[str]:
    ranked = _ranked(members)
    lines = [member_line(facts) for facts in ranked[:_MOST_MEMBERS]]
    return lines if len(ranked) <= _MOST_MEMBERS else [*lines, f"and {len(ranked) - _MOST_MEMBERS} more"]


def _venues_text(venues: Mapping[str, float], throttled: Sequence[str]) -> list[str]:
    total = sum(venues.values())
    if total <= 0.0:
        return []
    shares = [
        f"{venue} {100 * usd / total:.0f} %{' (throttled: shows one a second at most)' if venue in throttled else ''}"
        for venue, usd in venues.items()
    ]
    return [f"Venues: {', '.join(shares)}."]


def _missing_text(around: Surroundings) -> list[str]:
    if around.coverage is None:
        return ["Coverage: unknown."]
    return [f"Coverage of the last 5 min: {100 * around.coverage:.0f} %."]


def _why_text(per_week: float) -> str:
    return f"You are told about {per_week:g} times a week, of the rarest that happens in all that is watched."


def _closing(scope: str, link: str) -> list[str]:
    return [*([f"See {link}"] if link else []), f"To mute: alerts.muted = ['{scope}'], or alerts.quiet."]


def begin_text(thread: EventThread, around: Surroundings, per_week: float, link: str) -> str:
    """Return the body of a begin or an update."""
    usd, count, venues = thread.totals()
    so_far = f"So far {usd_words(usd)} in {count} liquidations."
    if around.times_usual is not None:
        so_far += f" The market's last minute is {around.times_usual:.3g} times the usual one."
    cause = _ranked(thread.members)[0]
    return "\n".join(
        [
            *_members_text(thread.members),
            so_far,
            *_venues_text(venues, around.throttled),
            *_missing_text(around),
            _why_text(per_week),
            *_closing(cause.scope, link),
        ]
    )


def _price_text(name: str, span: PriceSpan | None) -> list[str]:
    if span is None or span.first <= 0.0:
        return []
    change = 100 * (span.last / span.first - 1)
    return [
        f"{name} {span.first:.6g} to {span.last:.6g} ({change:+.2f} %), between {span.low:.6g} and {span.high:.6g}."
    ]


def end_text(thread: EventThread, around: Surroundings, link: str) -> str:
    """Return the body of an end: totals, how many times usual, leader, duration, and what the price did."""
    usd, count, venues = thread.totals()
    leader = thread.leader()
    lasted = seconds_words(max(0, thread.last_up_ms - thread.began_ms))
    lines = [f"{usd_words(usd)} in {count} liquidations; at ALERT or above for {lasted}."]
    if thread.peak_times_usual is not None:
        lines.append(f"The market's highest minute was {thread.peak_times_usual:.3g} times the usual one.")
    if leader is not None and usd > 0.0:
        lines.append(f"Most of it: {leader}, {usd_words(thread.usd[leader])} ({100 * thread.usd[leader] / usd:.0f} %).")
    lines += _price_text("BTC", thread.btc)
    if leader is not None:
        lines += _price_text(f"{leader}, prices of its liquidations:", thread.prices.get(leader))
    if thread.unwatched_since_ms is not None:
        lines.append("It ended because nothing is watched any more; what came after is not known.")
    lines += _members_text(thread.members)
    lines += [*_venues_text(venues, around.throttled), *_missing_text(around)]
    return "\n".join([*lines, *([f"See {link}"] if link else [])])
