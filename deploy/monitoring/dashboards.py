"""Write Grafana's two dashboards from one table of panels: `python deploy/monitoring/dashboards.py`.

Every query uses names of `liqtape.exposition.families`; thresholds are those of the rules. The tests compare what is
committed with what this writes, and run each query against a real Prometheus.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

from msgspec import Struct

__all__ = ["DASHBOARDS", "Dashboard", "Panel", "document"]

_HERE = Path(__file__).resolve().parent
_OWN = '{job=~"$job", instance=~"$instance"}'
_VENUE = '{job=~"$job", instance=~"$instance", venue=~"$venue"}'
_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
_WIDTH, _HEIGHT = 12, 8  # of 24 columns


class Panel(Struct, frozen=True):
    """One panel: what it shows, its queries with their legends, unit of Grafana, and values that are drawn red from."""

    title: str
    description: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    kind: str = "timeseries"
    red_from: float | None = None


class Dashboard(Struct, frozen=True):
    """One dashboard and the annotations over all its panels."""

    uid: str
    title: str
    panels: tuple[Panel, ...]
    annotations: tuple[tuple[str, str], ...]


_MARKET = (
    Panel(
        "Level of the market",
        "0 NONE, 1 WATCH (about once in 6 h), 2 ALERT (a day), 3 CRITICAL (a week), 4 EXTREME.",
        ((f"liqtape_market_level{_OWN}", "market"),),
        red_from=3,
    ),
    Panel(
        "Instruments that are raised",
        "How many of the instruments are at least at this level now.",
        ((f"liqtape_market_raised_instruments{_OWN}", "level {{level}} or above"),),
    ),
    Panel(
        "Liquidations per second",
        "All instruments and venues, exact event-time windows. Binance and OKX print at most one a symbol and second.",
        ((f"liqtape_market_velocity{_OWN}", "{{window}}"),),
        unit="ops",
    ),
    Panel(
        "USD per second",
        "What was liquidated, in US dollars; events of unknown value add nothing.",
        ((f"liqtape_market_usd_velocity{_OWN}", "{{window}}"),),
        unit="currencyUSD",
    ),
    Panel(
        "Side of the closed position",
        "Accepted liquidations per second by side, counted by the time of the scrape.",
        ((f"sum by (side) (rate(liqtape_events_total{_VENUE}[1m]))", "{{side}}"),),
        unit="ops",
    ),
    Panel(
        "Venues",
        "Accepted liquidations per second by venue, counted by the time of the scrape.",
        ((f"sum by (venue) (rate(liqtape_events_total{_VENUE}[1m]))", "{{venue}}"),),
        unit="ops",
    ),
    Panel(
        "Heaviest instruments, USD per second",
        "The ten instruments with most USD in 60 s.",
        ((f'topk(10, liqtape_usd_velocity{{window="60s", {_OWN[1:-1]}}})', "{{instrument}}"),),
        unit="currencyUSD",
    ),
    Panel(
        "Times the usual minute",
        "USD of the last 60 s over that of the instrument's mean watched minute. Empty in the first hour.",
        (
            (f"topk(10, liqtape_times_usual_ratio{_OWN})", "{{instrument}}"),
            (f"liqtape_market_times_usual_ratio{_OWN}", "market"),
        ),
        unit="none",
    ),
    Panel(
        "Acceleration",
        "Change of the market's velocity, least-squares slope over 20 s, in liquidations per second squared.",
        ((f"liqtape_market_acceleration{_OWN}", "market"),),
    ),
    Panel(
        "BTC",
        "Last trade in USD, and the volatility of the last 5 min over that of the last day (after an hour).",
        ((f"liqtape_btc_price_usd{_OWN}", "price"), (f"liqtape_btc_volatility_ratio{_OWN}", "volatility ratio")),
    ),
    Panel(
        "Levels of the instruments",
        "Of the instruments that have series, by their own past; 0 NONE, 1 WATCH, 2 ALERT, 3 CRITICAL, 4 EXTREME.",
        ((f"liqtape_level{_OWN}", "{{instrument}}"),),
        kind="table",
    ),
    Panel(
        "Corrected for throttling",
        "What venues print, and the estimate of what they did, 10 s, the ten highest.",
        (
            (f'topk(10, liqtape_velocity_estimated{{window="10s", {_OWN[1:-1]}}})', "{{instrument}} estimated"),
            (f'topk(10, liqtape_velocity{{window="10s", {_OWN[1:-1]}}})', "{{instrument}} printed"),
        ),
        unit="ops",
    ),
)

_OPERATIONS = (
    Panel(
        "State of the feeds",
        "The state that each venue's feed is in; `live` is complete as far as the venue publishes.",
        ((f"max by (venue, state) (liqtape_feed_state{_VENUE} == 1)", "{{venue}}: {{state}}"),),
    ),
    Panel(
        "Age of the last data",
        "Seconds since anything came from the venue, trades included.",
        ((f"time() - liqtape_feed_last_data_timestamp_seconds{_VENUE}", "{{venue}}"),),
        unit="s",
        red_from=120,
    ),
    Panel(
        "Coverage",
        "Share of the last 60 s that was watched. What is missing was seen by nobody.",
        ((f'liqtape_feed_coverage_ratio{{window="60s", {_VENUE[1:-1]}}}', "{{venue}}"),),
        unit="percentunit",
    ),
    Panel(
        "Gaps",
        "Seconds of gaps that ended in five minutes, and what of gaps was backfilled.",
        ((f"increase(liqtape_gap_seconds_total{_VENUE}[5m])", "{{venue}} backfilled={{filled}}"),),
        unit="s",
    ),
    Panel(
        "Lost connections",
        "Lost connections and failed attempts in five minutes, by cause.",
        ((f"increase(liqtape_feed_reconnects_total{_VENUE}[5m])", "{{venue}}: {{cause}}"),),
    ),
    Panel(
        "Clocks",
        "Our time minus the venues' stamps (transport included), and by how much a venue's clock is off.",
        (
            (f"liqtape_clock_skew_seconds{_VENUE}", "{{venue}} skew"),
            (f"liqtape_clock_shift_seconds{_VENUE}", "{{venue}} shift"),
        ),
        unit="s",
        red_from=1,
    ),
    Panel(
        "Frames per second",
        "By kind; undecodable ones should be 0.",
        ((f"sum by (kind) (rate(liqtape_frames_total{_VENUE}[1m]))", "{{kind}}"),),
        unit="ops",
    ),
    Panel(
        "Delay of the venues, 99th percentile",
        "From the venue's stamp of a liquidation to its receipt here.",
        (
            (
                f"histogram_quantile(0.99, sum by (le, venue) (rate(liqtape_venue_lag_seconds_bucket{_VENUE}[5m])))",
                "{{venue}}",
            ),
        ),
        unit="s",
    ),
    Panel(
        "Receipt to windows, 99th percentile",
        "From the receipt of a frame to its liquidations being in all windows.",
        (
            (
                f"histogram_quantile(0.99, sum by (le) (rate(liqtape_event_to_window_seconds_bucket{_OWN}[5m])))",
                "99th percentile",
            ),
        ),
        unit="s",
    ),
    Panel(
        "Change to sink, 99th percentile",
        "From a change of a row to the sink's acknowledgement.",
        (
            (
                f"histogram_quantile(0.99, sum by (le, sink) (rate(liqtape_event_to_sink_seconds_bucket{_OWN}[5m])))",
                "{{sink}}",
            ),
        ),
        unit="s",
    ),
    Panel(
        "Sinks",
        "1 while the sink takes what it is given; how long the oldest change waits.",
        ((f"liqtape_sink_up{_OWN}", "{{sink}} up"), (f"liqtape_sink_lag_seconds{_OWN}", "{{sink}} lag")),
        red_from=5,
    ),
    Panel(
        "Ledger",
        "Frames and events that are in no place, and events that wait. The first must be 0.",
        (
            (f"liqtape_ledger_imbalance{_OWN}", "imbalance"),
            (f"sum(liqtape_pending_events{_OWN})", "waiting for a clock or a size"),
        ),
        red_from=1,
    ),
    Panel(
        "Rejected, repeated, without USD",
        "Events in five minutes.",
        (
            (f"sum by (reason) (increase(liqtape_rejected_total{_OWN}[5m]))", "rejected: {{reason}}"),
            (f"sum(increase(liqtape_duplicates_total{_OWN}[5m]))", "repeats"),
            (f"sum by (reason) (increase(liqtape_unsized_total{_OWN}[5m]))", "without USD: {{reason}}"),
        ),
    ),
    Panel(
        "Dropped and failed",
        "Items dropped and errors in five minutes.",
        (
            (f"sum by (component, reason) (increase(liqtape_dropped_total{_OWN}[5m]))", "{{component}}: {{reason}}"),
            (
                f"sum by (component, error_type) (increase(liqtape_errors_total{_OWN}[5m]))",
                "{{component}}: {{error_type}}",
            ),
        ),
    ),
    Panel(
        "History",
        "Events that wait for the disk, and events on disk per second.",
        (
            (f"liqtape_log_pending_events{_OWN}", "waiting"),
            (f"rate(liqtape_log_events_total{_OWN}[1m])", "written per second"),
        ),
        red_from=100_000,
    ),
    Panel(
        "Process",
        "Share of a core, and resident memory.",
        (
            (f"rate(process_cpu_seconds_total{_OWN}[1m])", "cores"),
            (f"process_resident_memory_bytes{_OWN} / 1e6", "MB"),
        ),
    ),
)

DASHBOARDS = (
    Dashboard(
        "liqtape-market",
        "liqtape: market",
        _MARKET,
        (("Market CRITICAL or above", f"liqtape_market_level{_OWN} >= 3"), ("Gap", f"liqtape_gaps_open{_OWN} > 0")),
    ),
    Dashboard(
        "liqtape-operations",
        "liqtape: operations",
        _OPERATIONS,
        (("Gap", f"liqtape_gaps_open{_OWN} > 0"),),
    ),
)


def document(dashboard: Dashboard) -> dict[str, Any]:
    """Return the dashboard as Grafana reads it."""
    others = [other for other in DASHBOARDS if other.uid != dashboard.uid]
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["liqtape"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "links": [
            {"title": other.title, "type": "link", "url": f"/d/{other.uid}", "keepTime": True, "includeVars": True}
            for other in others
        ],
        "templating": {"list": _variables()},
        "annotations": {
            "list": [
                {
                    "name": name,
                    "datasource": _DATASOURCE,
                    "expr": expr,
                    "enable": True,
                    "step": "10s",
                    "titleFormat": name,
                }
                for name, expr in dashboard.annotations
            ]
        },
        "panels": [_panel(number, panel) for number, panel in enumerate(dashboard.panels)],
    }


def _variables() -> list[dict[str, Any]]:
    source = {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"}
    chosen = {"multi": True, "includeAll": True, "allValue": ".*", "current": {"text": "All", "value": "$__all"}}
    labels = {
        "job": "label_values(liqtape_build_info, job)",
        "instance": 'label_values(liqtape_build_info{job=~"$job"}, instance)',
        "venue": 'label_values(liqtape_feed_state{job=~"$job", instance=~"$instance"}, venue)',
    }
    return [
        source,
        *(
            {"name": name, "type": "query", "datasource": _DATASOURCE, "query": query, "refresh": 2, **chosen}
            for name, query in labels.items()
        ),
    ]


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "text", "value": None}]
    if panel.red_from is not None:
        steps.append({"color": "red", "value": panel.red_from})
    column, row = number % (24 // _WIDTH), number // (24 // _WIDTH)
    return {
        "id": number + 1,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": _DATASOURCE,
        "gridPos": {"x": column * _WIDTH, "y": row * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "thresholds": {"mode": "absolute", "steps": steps},
                "custom": {"thresholdsStyle": {"mode": "off" if panel.red_from is None else "dashed"}},
            },
            "overrides": [],
        },
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": _DATASOURCE,
                "expr": expr,
                "legendFormat": legend,
                "instant": panel.kind == "table",
                "format": "table" if panel.kind == "table" else "time_series",
            }
            for place, (expr, legend) in enumerate(panel.queries)
        ],
    }


def names_in(expr: str) -> set[str]:
    """Return the metric names of a query, those of histograms without `_bucket`."""
    return {re.sub(r"_bucket$", "", name) for name in re.findall(r"\b(?:liqtape|process)_\w+", expr)}


def main() -> None:
    """Write both files."""
    for dashboard in DASHBOARDS:
        name = dashboard.uid.removeprefix("liqtape-")
        path = _HERE / "grafana" / "dashboards" / f"{name}.json"
        path.write_text(json.dumps(document(dashboard), indent=2) + "\n", "utf-8")
        sys.stdout.write(f"{path.name}: {len(dashboard.panels)} panels\n")


if __name__ == "__main__":
    main()
