"""The command `alert-test`: one message over every channel, and the policy as it is."""

import asyncio
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from liqtape.cli.ending import in_a_line
from liqtape.errors import ConfigurationError
from liqtape.history.log.directories import data_directory
from liqtape.settings import load_settings, settings_file
from liqtape.venues import VENUES, watched

if TYPE_CHECKING:  # commands import what they need, so that none waits for what another needs
    from liqtape.alarms.delivery.messagechannel import MessageChannel
    from liqtape.alarms.delivery.outbox import KeptQueue
    from liqtape.alarms.policy.messagepolicy import PolicySettings, PolicyState
    from liqtape.alarms.policy.messages import AlarmMessage

__all__ = ["alert_test", "policy_lines"]

_SECONDS = 30.0


def alert_test(
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A liqtape.toml; default: the one here, if any.")
    ] = None,
    channel: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Of the settings; repeatable. Default: all.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object instead of text.")] = False,
) -> int:
    """Send one test alert over every configured channel, and print the policy as it is."""
    from liqtape.alarms.delivery.channelfactory import channels_of
    from liqtape.factory import policy_of

    loaded = load_settings(settings_file(config), None, None, frozenset(VENUES), watched)
    enabled = [name for name, own in loaded.venues.items() if own.enabled]
    policy = policy_of(loaded.alerts, enabled)
    wanted = channel or list(policy.channels)
    for name in wanted:
        if name not in policy.channels:
            raise ConfigurationError(f"--channel {name}: there are {', '.join(policy.channels)}")
    results = asyncio.run(_sent(channels_of({name: policy.channels[name] for name in wanted})))
    queue, state = _kept(data_directory())
    if as_json:
        counts = {"waiting": {}, "dead": {}} if queue is None else {"waiting": queue.waiting, "dead": queue.dead}
        summary = {"channels": results, "policy": _facts(policy, state), "queue": counts}
        sys.stdout.buffer.write(msgspec.json.encode(summary) + b"\n")
    else:
        lines = [f"  {name:<12} {policy.channels[name].kind:<12} {said or 'sent'}" for name, said in results.items()]
        sys.stdout.write(
            "\n".join(["channels:", *lines, "policy:", *policy_lines(policy, state), _queue_line(queue)]) + "\n"
        )
    return int(any(results.values()))


async def _sent(channels: Sequence["MessageChannel"]) -> dict[str, str]:
    """What kept each channel from sending; empty where it sent."""
    message = _test_message()

    async def said(channel: "MessageChannel") -> str:
        from liqtape.alarms.delivery.messagechannel import DeliveryError

        try:
            async with asyncio.timeout(_SECONDS):
                await channel.send(message)
        except DeliveryError as error:
            return f"NOT SENT: {error}"
        except TimeoutError:
            return f"NOT SENT: no answer within {_SECONDS:g} s"
        finally:
            await channel.close()
        return ""

    found = await asyncio.gather(*(said(channel) for channel in channels))
    return {channel.name: text for channel, text in zip(channels, found, strict=True)}


def _test_message() -> "AlarmMessage":
    from liqtape.alarms.policy.messages import AlarmMessage
    from liqtape.ourtime import our_ms

    now_ms = our_ms()
    text = "Sent by `liqtape alert-test`. No market did anything."
    return AlarmMessage(f"test-{now_ms}/1", "test", "market", "NONE", now_ms, "liqtape: a test", text)


def _kept(directory: Path) -> tuple["KeptQueue | None", "PolicyState | None"]:
    """The queue of the service, if it ever ran here, and what its policy has learned."""
    from liqtape.alarms.alarmservice import QUEUE_FILE
    from liqtape.alarms.delivery.outbox import read_queue
    from liqtape.alarms.policy.messagepolicy import PolicyState

    try:
        queue = read_queue(directory / QUEUE_FILE)
        state = None if queue is None else queue.state
        return queue, None if state is None else msgspec.json.decode(state, type=PolicyState)
    except (sqlite3.Error, msgspec.MsgspecError):
        return None, None


def _queue_line(queue: "KeptQueue | None") -> str:
    if queue is None:
        return "  queue          nothing was ever in it"
    said = [
        f"{sum(counts.values())} {what}{f' ({in_a_line(counts)})' if counts else ''}"
        for what, counts in (("waiting", queue.waiting), ("dead", queue.dead))
    ]
    return f"  queue          {', '.join(said)}"


def _facts(settings: "PolicySettings", state: "PolicyState | None") -> dict[str, Any]:
    from liqtape.alarms.policy.eventthread import END_MS, JOIN_MS
    from liqtape.alarms.policy.messagepolicy import COOLDOWN_MS, UPDATE_MS, MessagePolicy

    policy = MessagePolicy(settings, state)
    return {
        "budget_per_week": settings.budget_per_week,
        "groups": ["market", "instruments", *(["named"] if settings.named else [])],
        "watched_days": 0.0 if state is None else state.budget.days,
        "market_wakes_at_days": policy.wakes_at_days("MARKET"),
        "joins_within_s": JOIN_MS / 1_000,
        "updates_at_most_every_s": UPDATE_MS / 1_000,
        "ends_after_s": END_MS / 1_000,
        "cooldown_s": COOLDOWN_MS / 1_000,
        "follow_up": settings.follow_up,
        "quiet": settings.quiet if settings.quiet.start else None,
        "muted": sorted(settings.muted),
        "channels": {
            name: {"kind": one.kind, "streams": one.streams, "messages_per_hour": one.messages_per_hour}
            for name, one in settings.channels.items()
        },
        "rules": [rule.name for rule in settings.rules],
    }


def policy_lines(settings: "PolicySettings", state: "PolicyState | None") -> list[str]:
    """Return the effective policy in words."""
    from liqtape.alarms.policy.phrases import wakes_words

    facts = _facts(settings, state)
    days = facts["market_wakes_at_days"]
    learned = (
        "not learned yet"
        if days is None
        else f"learned from {facts['watched_days']:.1f} watched days; the market {wakes_words(days)}"
    )
    quiet = settings.quiet
    limits = [f"{name} {one['messages_per_hour']} an hour" for name, one in facts["channels"].items()]
    said = {
        "budget": f"{settings.budget_per_week:g} market events a week over {', '.join(facts['groups'])}; {learned}",
        "one event": f"what follows within {facts['joins_within_s']:g} s; over {facts['ends_after_s']:g} s after",
        "updates": f"one in {facts['updates_at_most_every_s']:g} s at most, or at a step up",
        "cooldown": f"{facts['cooldown_s']:g} s for each instrument and level; a step up passes",
        "an hour later": "the price is told" if settings.follow_up else "nothing is told",
        "quiet hours": f"{quiet.start} to {quiet.end} {quiet.zone}: from {quiet.level} on" if quiet.start else "none",
        "channels": f"{', '.join(limits)}, and of each stream",
        "rules": ", ".join(facts["rules"]) or "none",
        "muted": ", ".join(facts["muted"]) or "nothing",
    }
    return [f"  {name:<14} {text}" for name, text in said.items()]
