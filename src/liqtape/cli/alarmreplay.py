"""The command `alert-replay`: what a past would have sent, beside the budget. It never sends."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from liqtape.errors import ConfigurationError
from liqtape.settings import load_settings, settings_file
from liqtape.venues import VENUES, watched

if TYPE_CHECKING:  # commands import what they need, so that none waits for what another needs
    from liqtape.alarms.pastalarms import AlarmReplay
    from liqtape.alarms.policy.messagepolicy import PolicySettings
    from liqtape.alarms.policy.messages import AlarmMessage
    from liqtape.settings import Settings

__all__ = ["alert_replay"]


def alert_replay(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH", help="A recording; an event file (Parquet, NDJSON, CSV) or a directory of them."
        ),
    ],
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A liqtape.toml; default: the one here, if any.")
    ] = None,
    coverage: Annotated[
        Path | None,
        typer.Option(
            metavar="F.csv", help="When the events' feeds were up: columns start_ms, end_ms. Event files only."
        ),
    ] = None,
    whole: Annotated[bool, typer.Option("--whole", help="The messages whole, not their titles alone.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Each message and the end as JSON.")] = False,
) -> int:
    """What a past would have sent, channel by channel, beside the budget. Nothing is sent."""
    from liqtape.factory import policy_of
    from liqtape.recording.segments import is_recording

    settings = load_settings(settings_file(config), None, None, frozenset(VENUES), watched)
    if settings.alerts.rule != "return_period" and not settings.alerts.rules:
        raise ConfigurationError("alerts.rule: only return_period opens threads; set it, or alerts.rules")
    enabled = [name for name, own in settings.venues.items() if own.enabled]
    policy = policy_of(settings.alerts, enabled)
    if is_recording(path):
        if coverage is not None:
            raise ConfigurationError(f"--coverage {coverage}: a recording says itself when its feeds were up")
        replay = _of_recording(path, policy)
    else:
        replay = _of_events(path, settings, policy, coverage)
    replay.finish()
    if as_json:
        for one in replay.messages:
            sys.stdout.buffer.write(msgspec.json.encode(one) + b"\n")
        sys.stdout.buffer.write(msgspec.json.encode(replay.totals()) + b"\n")
    else:
        sys.stdout.write("\n".join([*_lines(replay, whole=whole), *_end(replay)]) + "\n")
    return 0


def _of_events(path: Path, settings: "Settings", policy: "PolicySettings", coverage: Path | None) -> "AlarmReplay":
    from liqtape.alarms.pastalarms import AlarmReplay
    from liqtape.eventfiles.coveragefile import load_coverage
    from liqtape.eventfiles.readers import load
    from liqtape.eventfiles.replay import steps
    from liqtape.runscope import engine_of

    engine = engine_of(settings.alerts, VENUES)
    replay = AlarmReplay(policy, engine)
    for step in steps(load(path), 1, [] if coverage is None else load_coverage(coverage), engine):
        replay.step(1_000 * step.second, step.events)
    return replay


def _of_recording(path: Path, policy: "PolicySettings") -> "AlarmReplay":
    """Levels are those of the recorded run's settings; who is told is decided by those of today."""
    from liqtape.alarms.pastalarms import AlarmReplay
    from liqtape.recording.playback import Playback

    playback = Playback(path)
    replay: AlarmReplay | None = None
    for step in playback.steps():
        pipeline = playback.pipeline
        if pipeline is not None:
            replay = replay or AlarmReplay(policy, pipeline.engine)
            now_ms = 1_000 * step.second
            replay.step(pipeline.clock.t_ms(now_ms), step.events, pipeline.clock.at(now_ms))
    if replay is None:
        raise ConfigurationError(f"{path}: there is nothing in it to look at")
    return replay


def _lines(replay: "AlarmReplay", *, whole: bool) -> list[str]:
    """A line each message, with the channels that get it; `whole` with what it says."""
    channels: dict[str, list[str]] = {}
    messages: dict[str, AlarmMessage] = {}
    for one in replay.messages:
        messages.setdefault(one.message.key, one.message)
        channels.setdefault(one.message.key, []).append(one.channel)
    lines = []
    for key, message in messages.items():
        when = datetime.fromtimestamp(message.at_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S")
        lines.append(f"{when} UTC  {message.kind:<7} {message.title}  [{', '.join(channels[key])}]")
        if whole:
            lines += [f"    {line}" for line in message.text.splitlines()]
    return lines


def _end(replay: "AlarmReplay") -> list[str]:
    from liqtape.alarms.policy.phrases import wakes_words

    totals = replay.totals()
    budget = f"the budget of {totals.budget_per_week:g} a week allows {totals.expected:.2f}"
    lines = [f"threads: {totals.threads} in {totals.days:.2f} watched days; {budget}"]
    for group, days in (
        ("the market", totals.market_wakes_at_days),
        ("an instrument", totals.instrument_wakes_at_days),
    ):
        lines.append(f"  {group} {'is not known well enough' if days is None else wakes_words(days)} at the end")
    for name, channel in totals.channels.items():
        most = f"{channel.most_in_an_hour} of {channel.messages_per_hour} within an hour at most"
        lines.append(f"channel {name}: {channel.messages} messages, {most}")
    return [*lines, "nothing was sent"]
