"""The messages of a market event: its begin, what is new, its end, and what the price did an hour later."""

from msgspec import Struct
from msgspec.structs import replace

from liqtape.alarms.policy.eventthread import EventThread
from liqtape.alarms.policy.messages import AlarmMessage, MessageKind
from liqtape.alarms.policy.phrases import begin_text, end_text, headline, linked, usd_words
from liqtape.alarms.policy.sightings import Scene, Surroundings

__all__ = ["LaterNote", "end_message", "later_message", "news_message"]


class LaterNote(Struct, frozen=True):
    """What is told an hour after an event, if asked for."""

    due_ms: int
    thread: str
    number: int
    began_ms: int
    ended_price: float | None


def news_message(
    thread: EventThread, scene: Scene, around: Surroundings, first: str, per_week: float, base: str
) -> AlarmMessage:
    """Return the next message of an open event, its first or an update; `first` is the member its title names."""
    more = len(thread.members) - 1
    cause = replace(thread.members[first], level=thread.level)
    title = headline(cause, thread.leader()) + (f", and {more} more" if more else "")
    text = begin_text(thread, around, per_week, linked(base, scene.at_ms))
    kind: MessageKind = "begin" if thread.number == 1 else "update"
    return _message(thread, scene.at_ms, kind, (title, text), base)


def end_message(thread: EventThread, scene: Scene, around: Surroundings, base: str) -> AlarmMessage:
    """Return the last message of an event."""
    usd, count, _ = thread.totals()
    leader = thread.leader()
    title = f"Over: {thread.level}, {usd_words(usd)} in {count} liquidations"
    title += "" if leader is None else f", most of it {leader}"
    text = end_text(thread, around, linked(base, thread.began_ms))
    return _message(thread, scene.at_ms, "end", (title, text), base)


def later_message(note: LaterNote, scene: Scene, base: str) -> AlarmMessage:
    """Return what is told an hour after the end."""
    text = "The price of BTC is not known."
    if note.ended_price and scene.btc_price is not None:
        change = 100 * (scene.btc_price / note.ended_price - 1)
        text = f"BTC {note.ended_price:.6g} at the end, {scene.btc_price:.6g} now ({change:+.2f} %)."
    return AlarmMessage(
        f"{note.thread}/{note.number}",
        "later",
        "market",
        "NONE",
        scene.at_ms,
        "An hour later",
        text,
        note.thread,
        note.number,
        note.began_ms,
        link=linked(base, note.began_ms),
    )


def _message(thread: EventThread, at_ms: int, kind: MessageKind, words: tuple[str, str], base: str) -> AlarmMessage:
    usd, count, venues = thread.totals()
    return AlarmMessage(
        f"{thread.id}/{thread.number}",
        kind,
        "market",
        thread.level,
        at_ms,
        *words,
        thread.id,
        thread.number,
        thread.began_ms,
        tuple(thread.members.values()),
        usd,
        count,
        venues,
        linked(base, at_ms),
    )
