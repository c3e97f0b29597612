"""The history of a running service: its log, the server that follows it, and what a run takes over from it."""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from liqtape.engine.levels.episodes import StreamState
from liqtape.engine.levels.returnperiods import StreamKey
from liqtape.engine.velocity import VelocityEngine
from liqtape.errors import LiqtapeError
from liqtape.events import VenueHealth
from liqtape.history.log.baselineseed import read_baseline_seed
from liqtape.history.log.eventlog import EventLog
from liqtape.history.log.levelseed import learn_levels
from liqtape.history.log.levelstates import Parts, choose, read_level_states
from liqtape.history.log.logfeed import LogFeed
from liqtape.history.log.logreader import LogReader
from liqtape.history.log.opening import event_log
from liqtape.ledger import Ledger
from liqtape.pipeline.pipeline import Pipeline
from liqtape.runscope import rule_of
from liqtape.settings import AlertSettings, HistorySettings
from liqtape.shutdown import Deadline, end_history
from liqtape.sinks.postgres.postgressink import PostgresSink

__all__ = ["RunHistory"]

_log = logging.getLogger(__name__)


class RunHistory:
    """Keeps what a pipeline tells, where the settings name a place for it; `log` is None where they do not.

    `learned` says in words what levels began with.
    """

    def __init__(
        self, settings: HistorySettings, alerts: AlertSettings, pipeline: Pipeline, data_dir: Path | None
    ) -> None:
        self.log: EventLog | None = event_log(settings, data_dir)
        self.database: PostgresSink | None = None
        self.learned = "levels start from the prior"
        self._alerts = alerts
        self._pipeline = pipeline
        self._feed: LogFeed | None = None
        if self.log is None:
            return
        self._feed = LogFeed(self.log, pipeline.engine.levels, pipeline.targets)
        pipeline.listeners.add(self._feed)
        if settings.url is not None and settings.is_server:  # it follows the log, by a reader of its own
            reader = LogReader(self.log.directory)
            self.database = PostgresSink(settings.url, reader, retention_days=settings.retention_days)

    async def open(self, our_ms: Callable[[], int]) -> None:
        """Lock and open the log, and take back what the last run saw: windows go on, and nothing is news twice.

        It takes a second or two, so `our_ms` is asked for our time again and again.
        """
        if self.log is None or self._feed is None:
            return
        await asyncio.to_thread(self.log.start)
        recalled, seeding = self.log.recalled, self._pipeline.seeding
        if recalled is None:
            return
        for gap in recalled.gaps:
            self._pipeline.feeds.begin(gap)
        # In a thread; nobody else has the engine before the feeds are started.
        is_seeded = await asyncio.to_thread(self._seed_baselines, self.log.directory, our_ms())
        seeding.recall(recalled.events, () if is_seeded else recalled.feeds, our_ms())
        if self._pipeline.engine.levels is not None:
            seeding.levels(await asyncio.to_thread(self._level_states, self.log.directory, our_ms()))
            self._feed.begin(our_ms())

    async def end(
        self, now_ms: int, health: Iterable[VenueHealth], storing: "asyncio.Task[None] | None", deadline: Deadline
    ) -> list[str]:
        """Write what is left; returns in words what could not be."""
        if self.log is None or self._feed is None:
            return []
        self._feed.end(now_ms, health)
        return await end_history(self.log, self.database, storing, deadline)

    def count(self, ledger: Ledger) -> None:
        """Add to a ledger what became of its events in the log."""
        if self.log is not None:
            self.log.count(ledger)

    def health(self) -> list[VenueHealth]:
        """Return the log, and the server that follows it, as lines of what is published about the venues."""
        if self.log is None:
            return []
        log = self.log.health()
        lines = [VenueHealth("history", log.state, log.since_ms, None, 0, None, log.detail)]
        if self.database is not None:
            server = self.database.health()
            said = "; ".join(filter(None, [server.detail, f"{server.events_behind} events behind"]))
            lines.append(VenueHealth("postgres", server.state, server.since_ms, None, server.outages, None, said))
        return lines

    @property
    def _targets(self) -> Parts | None:
        """What the run watches; without a venue its events are those of wrapped streams, of any venue."""
        return self._pipeline.targets or None

    def _seed_baselines(self, directory: Path, our_ms: int) -> bool:
        """Seed the baselines from the history; returns whether it says when feeds were live."""
        try:
            seed = read_baseline_seed(directory, our_ms)
            if self._targets is not None:
                seed = seed.only(self._targets)
        except (LiqtapeError, OSError, sqlite3.Error) as error:
            self.learned = "levels start from the prior, the history cannot be read"
            _log.warning("%s: %s", self.learned, error)
            return False
        self._pipeline.seeding.baselines(seed.feeds, seed.backfilled, seed.counts)
        hours = seed.hours
        self.learned = f"levels learned from {hours:.1f} h of history" if hours else "levels start from the prior"
        _log.info("%s, %d slots with events", self.learned, len(seed.counts))
        return True

    def _level_states(self, directory: Path, our_ms: int) -> Mapping[StreamKey, StreamState]:
        """What the streams of the levels begin with: what was kept of them, else what the history's events teach."""
        try:
            kept = read_level_states(directory)
            if kept:
                return choose(kept, self._targets)
            engine = VelocityEngine(rule=rule_of(self._alerts, self._pipeline.targets))
            seed = learn_levels(directory, our_ms, engine, self._targets)
        except (LiqtapeError, OSError, sqlite3.Error) as error:
            _log.warning("levels learn from nothing, the history cannot be read: %s", error)
            return {}
        if seed.events:
            _log.info("levels learned from %d events of the history, %.1f days", seed.events, seed.days)
        return seed.states
