"""Everything that `/metrics` shows of a tracker, gathered when it is asked."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from liqtape import __version__
from liqtape.engine.velocity import MARKET
from liqtape.events import LEVELS, WINDOWS, Alert, Gap, Level, Liquidation, VelocityMetrics
from liqtape.exposition.causes import FEED_STATES, NO_FAILURES, bounded_causes
from liqtape.exposition.eventcounts import EventCounts, SeriesBudget
from liqtape.exposition.families import FAMILIES
from liqtape.exposition.gapseconds import GapSeconds
from liqtape.exposition.processsamples import process_samples
from liqtape.exposition.textformat import Sample, TextFormat
from liqtape.ledger import Ledger
from liqtape.ourtime import our_ms
from liqtape.pipeline.listener import Listener
from liqtape.tracker import Tracker

__all__ = ["Exposition"]

_FAMILY = {family.name: family for family in FAMILIES}

Samples = Iterable[Sample]


class Exposition(Listener):
    """The metrics of one tracker in Prometheus' text format; between two scrapes it only times a frame in 16."""

    def __init__(self, tracker: Tracker, most_instruments: int = 100) -> None:
        self.counts = EventCounts()
        self.gap_seconds = GapSeconds()
        self._levels: dict[str, Level] = {}
        self.series = 0  # of the last answer
        self._tracker = tracker
        self._budget = SeriesBudget(most_instruments)

    def accepted(self, events: Sequence[Liquidation], *, is_news: bool) -> None:
        """Time some of what is in the windows."""
        self.counts.accepted(events, is_news=is_news)

    def gap(self, gap: Gap) -> None:
        """Count the seconds of a gap that ended or was backfilled."""
        self.gap_seconds.gap(gap)

    def alert(self, alert: Alert) -> None:
        """Keep the levels above NONE."""
        if alert.instrument == MARKET:
            return
        if alert.level == "NONE":
            self._levels.pop(alert.instrument, None)
        else:
            self._levels[alert.instrument] = alert.level

    def text(self) -> bytes:
        """Return the answer to a scrape, as of now."""
        self.counts.count(self._tracker.engine.ever_added(), our_ms())
        out = TextFormat()
        for gather in (self._service, self._events, self._rows, self._market, self._feeds, self._ledger, self._sinks):
            for name, samples in gather():
                out.add(_FAMILY[name], samples)
        out.add_histograms(_FAMILY["liqtape_event_to_window_seconds"], [((), self.counts.to_window)])
        lags = [((venue,), histogram) for venue, histogram in sorted(self.counts.lag.items())]
        out.add_histograms(_FAMILY["liqtape_venue_lag_seconds"], lags)
        waits = [((publisher.sink.name,), publisher.waited) for publisher in self._tracker.publishers]
        out.add_histograms(_FAMILY["liqtape_event_to_sink_seconds"], waits)
        for name, value in process_samples():
            out.add(_FAMILY[name], [((), value)])
        self.series = out.series
        return bytes(out)

    def _service(self) -> Iterator[tuple[str, Samples]]:
        yield "liqtape_build_info", [((__version__,), 1)]
        yield "liqtape_evaluation_timestamp_seconds", [((), self._tracker.now_ms() / 1000)]
        yield "liqtape_pulses_total", [((), self._tracker.pulses)]
        crashes = Counter(cause.split(":")[0].split(" ")[0] for cause in self._tracker.crashes.elements())
        errors = [((part, "crash", "processing"), count) for part, count in sorted(crashes.items())]
        for publisher in self._tracker.publishers:
            errors.append(((f"sink_{publisher.sink.name}", "refused", "sending"), publisher.failures_total))
            errors.append(((f"sink_{publisher.sink.name}", "unexpected", "sending"), publisher.errors.total()))
        errors += [(("callback", "exception", "sending"), own.errors.total()) for own in self._tracker.callbacks]
        yield "liqtape_errors_total", _summed(errors)

    def _events(self) -> Iterator[tuple[str, Samples]]:
        yield "liqtape_events_total", sorted(self.counts.by_venue().items())
        yield "liqtape_usd_total", sorted(self.counts.usd.items())

    def _rows(self) -> Iterator[tuple[str, Samples]]:
        exposed = self._budget.choose(self.counts, our_ms())
        yield "liqtape_instrument_events_total", self._budget.counters()
        rows = self._tracker.snapshot(exposed)

        def windows(field: str) -> Samples:
            return [((row.symbol, f"{w}s"), getattr(row, f"{field}_{w}s")) for row in rows for w in WINDOWS]

        def single(value: Callable[[VelocityMetrics], float | None]) -> Samples:
            return [((row.symbol,), value(row)) for row in rows]

        yield "liqtape_velocity", windows("velocity")
        yield "liqtape_velocity_estimated", windows("velocity_est")
        yield "liqtape_usd_velocity", windows("usd_velocity")
        yield "liqtape_acceleration", single(lambda row: row.acceleration)
        yield "liqtape_surprise", single(lambda row: row.surprise)
        yield "liqtape_times_usual_ratio", single(lambda row: row.times_usual)
        yield "liqtape_level", single(lambda row: LEVELS.index(row.level))

    def _market(self) -> Iterator[tuple[str, Samples]]:
        row, active = self._tracker.market(), self._tracker.active()
        yield "liqtape_market_velocity", [((f"{w}s",), getattr(row, f"velocity_{w}s")) for w in WINDOWS]
        yield "liqtape_market_usd_velocity", [((f"{w}s",), getattr(row, f"usd_velocity_{w}s")) for w in WINDOWS]
        yield "liqtape_market_acceleration", [((), row.acceleration)]
        yield "liqtape_market_times_usual_ratio", [((), row.times_usual)]
        yield "liqtape_market_level", [((), LEVELS.index(row.level))]
        yield "liqtape_market_active_instruments", [((), len(active))]
        raised = [LEVELS.index(level) for level in self._levels.values()]
        yield (
            "liqtape_market_raised_instruments",
            [((str(least),), sum(level >= least for level in raised)) for least in range(1, len(LEVELS))],
        )
        yield "liqtape_btc_price_usd", [((), row.btc_price)]
        yield "liqtape_btc_volatility_ratio", [((), row.volatility_factor)]

    def _feeds(self) -> Iterator[tuple[str, Samples]]:
        health, now = self._tracker.health(), our_ms() / 1000
        yield "liqtape_feed_state", [((h.venue, s), int(s == h.state)) for h in health for s in FEED_STATES]
        ages = [((h.venue,), None if h.last_data_age_s is None else now - h.last_data_age_s) for h in health]
        yield "liqtape_feed_last_data_timestamp_seconds", ages
        failures = [(feed.venue.name, NO_FAILURES | bounded_causes(feed.pool.failures)) for feed in self._tracker.feeds]
        yield (
            "liqtape_feed_reconnects_total",
            [((venue, cause), count) for venue, causes in failures for cause, count in sorted(causes.items())],
        )
        now_ms, at, engine = self._tracker.now_ms(), self._tracker.venue_times(), self._tracker.engine
        shares = {h.venue: engine.coverages(h.venue, now_ms, at) for h in health}
        yield (
            "liqtape_feed_coverage_ratio",
            [((v, f"{w}s"), share) for v, own in shares.items() for w, share in zip(WINDOWS, own, strict=True)],
        )
        yield "liqtape_gap_seconds_total", sorted(self.gap_seconds.totals.items())
        last = Counter(gap.venue for gap in self._tracker.gaps() if gap.until_ms is None)
        yield "liqtape_gaps_open", [((h.venue,), last[h.venue]) for h in health]
        skews = [((h.venue,), None if h.skew_ms is None else h.skew_ms / 1000) for h in health]
        yield "liqtape_clock_skew_seconds", skews
        yield "liqtape_clock_shift_seconds", [((h.venue,), h.shift_ms / 1000) for h in health]

    def _ledger(self) -> Iterator[tuple[str, Samples]]:
        by_venue: dict[str, Ledger] = {}
        for name, ledger in self._tracker.ledgers():
            venue = name.split(" ")[0]
            by_venue[venue] = by_venue.get(venue, Ledger()) + ledger

        def counted(*fields: str) -> Samples:
            labels = [(field, field.rsplit("_", 1)[1] if len(fields) > 1 else None) for field in fields]
            return [
                ((venue,) if label is None else (venue, label), getattr(ledger, field))
                for venue, ledger in sorted(by_venue.items())
                for field, label in labels
            ]

        kinds = ("liquidation", "other_topic", "control", "undecodable")
        yield (
            "liqtape_frames_total",
            [((v, kind), getattr(own, f"frames_{kind}")) for v, own in sorted(by_venue.items()) for kind in kinds],
        )
        yield "liqtape_duplicates_total", counted("events_duplicate")
        yield (
            "liqtape_rejected_total",
            counted("events_rejected_filtered", "events_rejected_invalid", "events_rejected_future"),
        )
        yield "liqtape_pending_events", counted("events_pending")
        unsized = [(v, own.events_unsized_quote, own.events_unsized) for v, own in sorted(by_venue.items())]
        yield (
            "liqtape_unsized_total",
            [((v, r), n) for v, quote, every in unsized for r, n in (("quote", quote), ("size", every - quote))],
        )
        yield "liqtape_late_total", [((), self._tracker.engine.late_total)]
        yield "liqtape_late_dropped_total", [((), self._tracker.engine.late_dropped_total)]
        total = self._tracker.ledger()
        yield "liqtape_ledger_imbalance", [((), total.imbalance())]
        if total.is_logged:
            yield "liqtape_log_pending_events", [((), total.events_log_pending)]
            yield "liqtape_log_events_total", [((), total.events_logged)]
            reasons = ("full", "disk", "closed", "duplicate", "invalid")
            yield "liqtape_log_lost_total", [((r,), getattr(total, f"events_not_logged_{r}")) for r in reasons]

    def _sinks(self) -> Iterator[tuple[str, Samples]]:
        publishers = self._tracker.publishers
        yield "liqtape_notifications_total", sorted(self._tracker.alarms.dispatcher.counts.items())
        yield "liqtape_sink_up", [((p.sink.name,), int(p.state == "ok")) for p in publishers]
        yield "liqtape_sink_lag_seconds", [((p.sink.name,), p.lag_seconds()) for p in publishers]
        yield "liqtape_sink_batches_total", [((p.sink.name,), p.batches_total) for p in publishers]
        dropped = [((f"sink_{p.sink.name}", "alert_refused", "false"), p.alerts_dropped_total) for p in publishers]
        dropped += [((f"sink_{p.sink.name}", "recent_events", "true"), p.events_dropped_total) for p in publishers]
        dropped += [(("callback", "queue_full", "false"), c.dropped_total) for c in self._tracker.callbacks]
        dropped += [(("recorder", "buffer_full", "false"), own.dropped_total) for own in self._tracker.recorders]
        yield "liqtape_dropped_total", _summed(dropped)


def _summed(samples: Iterable[tuple[tuple[str, ...], int]]) -> Samples:
    total: Counter[tuple[str, ...]] = Counter()
    for labels, count in samples:
        total[labels] += count
    return sorted(total.items())
