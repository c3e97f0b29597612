"""The table of metric families: what `/metrics` shows, in this order.

Names follow Prometheus' conventions: prefix `liqtape_`, base units, `_total` for counters, points in time as
`_timestamp_seconds` (PromQL makes ages of them). No label holds free text.
"""

from typing import Literal

from msgspec import Struct

__all__ = ["FAMILIES", "PER_INSTRUMENT", "Family", "Kind"]

Kind = Literal["counter", "gauge", "histogram"]


class Family(Struct, frozen=True):
    """One metric family: its name, how Prometheus treats it, what it means, and its labels."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


_EXACT = (
    "Exact event-time window ending at the evaluation time; rate() of the counter counts by scrape time and differs."
)

PER_INSTRUMENT = (
    Family(
        "liqtape_velocity",
        "gauge",
        f"Liquidations per second of the instrument over the window, all venues. {_EXACT}",
        ("instrument", "window"),
    ),
    Family(
        "liqtape_velocity_estimated",
        "gauge",
        "Velocity with throttled venues (at most one print per symbol and second) corrected: an estimate, a lower bound"
        " where saturated.",
        ("instrument", "window"),
    ),
    Family(
        "liqtape_usd_velocity",
        "gauge",
        "US dollars liquidated per second over the window; events without a known USD value add nothing.",
        ("instrument", "window"),
    ),
    Family(
        "liqtape_acceleration",
        "gauge",
        "Change of the velocity in liquidations per second squared, least-squares slope over 20 s.",
        ("instrument",),
    ),
    Family(
        "liqtape_surprise",
        "gauge",
        "Statistic of the 60 s count against the instrument's own past; not a probability. Absent where undefined.",
        ("instrument",),
    ),
    Family(
        "liqtape_times_usual_ratio",
        "gauge",
        "USD of the last 60 s divided by that of the instrument's mean watched minute. Absent in the first hour.",
        ("instrument",),
    ),
    Family(
        "liqtape_level",
        "gauge",
        "Level by return period: 0 NONE, 1 WATCH (once in 6 h), 2 ALERT (a day), 3 CRITICAL (a week), 4 EXTREME.",
        ("instrument",),
    ),
)
"""Families with an `instrument` label that show the newest row; bounded, see `SeriesBudget`."""

FAMILIES = (
    Family("liqtape_build_info", "gauge", "Always 1; the version of liqtape that runs.", ("version",)),
    Family(
        "liqtape_evaluation_timestamp_seconds",
        "gauge",
        "Common event time at which the rows below were evaluated, in Unix seconds.",
    ),
    Family(
        "liqtape_pulses_total",
        "counter",
        "Grows once a second while the service does its work; a rate of 0 means that its loop hangs.",
    ),
    Family(
        "liqtape_events_total",
        "counter",
        "Liquidations by venue and side of the closed position (unknown where a wrapped stream does not say it);"
        " those too old for any window are in liqtape_late_dropped_total.",
        ("venue", "side"),
    ),
    Family(
        "liqtape_usd_total",
        "counter",
        "US dollars of accepted liquidations; those of unknown USD value add nothing and are in liqtape_unsized_total.",
        ("venue", "side"),
    ),
    Family(
        "liqtape_instrument_events_total",
        "counter",
        "Accepted liquidations of the busiest instruments; _other counts those of all the rest, so that sums are true.",
        ("instrument", "side"),
    ),
    *PER_INSTRUMENT,
    Family(
        "liqtape_market_velocity",
        "gauge",
        f"Liquidations per second over the window, all instruments and venues. {_EXACT}",
        ("window",),
    ),
    Family(
        "liqtape_market_usd_velocity", "gauge", "US dollars per second over the window, all instruments.", ("window",)
    ),
    Family("liqtape_market_acceleration", "gauge", "Change of the market's velocity, per second squared, over 20 s."),
    Family(
        "liqtape_market_times_usual_ratio",
        "gauge",
        "USD of the last 60 s divided by that of the market's mean watched minute. Absent in the first hour.",
    ),
    Family("liqtape_market_level", "gauge", "Level of the market as a whole, 0 (NONE) to 4 (EXTREME)."),
    Family("liqtape_market_active_instruments", "gauge", "Instruments with a liquidation in the last 300 s."),
    Family(
        "liqtape_market_raised_instruments",
        "gauge",
        "Instruments whose level is at least this one; 1 WATCH, 2 ALERT, 3 CRITICAL, 4 EXTREME.",
        ("level",),
    ),
    Family("liqtape_btc_price_usd", "gauge", "Last BTC trade in US dollars; absent when no source is fresh."),
    Family(
        "liqtape_btc_volatility_ratio",
        "gauge",
        "BTC volatility of the last 5 min over that of the last day; absent in the first hour.",
    ),
    Family(
        "liqtape_frames_total",
        "counter",
        "WebSocket frames by venue and kind: liquidation, other_topic, control, undecodable.",
        ("venue", "kind"),
    ),
    Family("liqtape_duplicates_total", "counter", "Repeats of known liquidations, dropped on purpose.", ("venue",)),
    Family(
        "liqtape_rejected_total",
        "counter",
        "Decoded events that were not accepted: filtered (not asked for), invalid (a bad row), future (a wrong stamp).",
        ("venue", "reason"),
    ),
    Family("liqtape_pending_events", "gauge", "Decoded events that wait for a clock or a contract size.", ("venue",)),
    Family(
        "liqtape_unsized_total",
        "counter",
        "Accepted liquidations without USD: size (contract size unknown) or quote (quoted in no dollar).",
        ("venue", "reason"),
    ),
    Family(
        "liqtape_late_total",
        "counter",
        "Events that came after an evaluation they belonged to, corrected into windows.",
    ),
    Family("liqtape_late_dropped_total", "counter", "Events too old for any window: logged, in no metric."),
    Family(
        "liqtape_ledger_imbalance",
        "gauge",
        "Frames and events that are in no place of the ledger, absolute; anything but 0 is a defect of liqtape.",
    ),
    Family(
        "liqtape_feed_state",
        "gauge",
        "1 for the state the venue's feed is in, 0 for the others.",
        ("venue", "state"),
    ),
    Family(
        "liqtape_feed_last_data_timestamp_seconds",
        "gauge",
        "When the venue's feed received any market data last, in Unix seconds; absent before the first.",
        ("venue",),
    ),
    Family(
        "liqtape_feed_reconnects_total",
        "counter",
        "Lost connections and failed attempts by cause: a closed list, codes of closing and of HTTP by their class.",
        ("venue", "cause"),
    ),
    Family(
        "liqtape_feed_coverage_ratio",
        "gauge",
        "Share of the window in which the venue's feed was live; what is missing was not watched by anybody.",
        ("venue", "window"),
    ),
    Family(
        "liqtape_gap_seconds_total",
        "counter",
        "Seconds in which liquidations may have been missed: filled=false counts each gap when it ends, filled=true"
        " what of that was backfilled afterwards.",
        ("venue", "filled"),
    ),
    Family("liqtape_gaps_open", "gauge", "Gaps that last at this moment.", ("venue",)),
    Family(
        "liqtape_clock_skew_seconds",
        "gauge",
        "Our time minus the venue's stamps, transport included, median of BTC trades; absent before enough came.",
        ("venue",),
    ),
    Family(
        "liqtape_clock_shift_seconds",
        "gauge",
        "By how much the venue's clock is ahead of the common time where it is off by more than a second, else 0.",
        ("venue",),
    ),
    Family(
        "liqtape_errors_total",
        "counter",
        "Errors by component, kind and stage (receiving, processing, sending); each a closed list.",
        ("component", "error_type", "stage"),
    ),
    Family(
        "liqtape_dropped_total",
        "counter",
        "Items dropped by component and reason; intentional=true where that is how it is meant to be (conflation).",
        ("component", "reason", "intentional"),
    ),
    Family(
        "liqtape_notifications_total",
        "counter",
        "Messages to people by channel and result: sent, failed (tried again), dead (given up).",
        ("channel", "result"),
    ),
    Family("liqtape_sink_up", "gauge", "1 while the sink takes what it is given, 0 while it fails.", ("sink",)),
    Family(
        "liqtape_sink_lag_seconds",
        "gauge",
        "For how long the oldest change has waited to be taken by the sink; 0 when nothing waits.",
        ("sink",),
    ),
    Family("liqtape_sink_batches_total", "counter", "Writes the sink has acknowledged.", ("sink",)),
    Family("liqtape_log_pending_events", "gauge", "Accepted events that wait for the history's disk."),
    Family("liqtape_log_events_total", "counter", "Accepted events that are on disk."),
    Family("liqtape_log_lost_total", "counter", "Accepted events that are not in the history, by reason.", ("reason",)),
    Family(
        "liqtape_event_to_window_seconds",
        "histogram",
        "From the receipt of a frame to its liquidations being in all windows, a sample in 16 batches.",
    ),
    Family(
        "liqtape_event_to_sink_seconds",
        "histogram",
        "From a change of a row to the sink's acknowledgement of it, a sample each write, its oldest change.",
        ("sink",),
    ),
    Family(
        "liqtape_venue_lag_seconds",
        "histogram",
        "From a venue's stamp to the receipt here, of one frame in 16; negative (first bucket) where its"
        " clock is ahead.",
        ("venue",),
    ),
    Family("process_cpu_seconds_total", "counter", "User and system CPU time of the process, in seconds."),
    Family("process_resident_memory_bytes", "gauge", "Resident memory of the process."),
    Family("process_open_fds", "gauge", "Open file descriptors of the process."),
    Family("process_max_fds", "gauge", "The most file descriptors the process may open."),
    Family("process_start_time_seconds", "gauge", "When the process started, in Unix seconds."),
)
