from typing import Any

from liqtape.events import Alert
from liqtape.tui.lines import alert_line, metric_line, venue_line


def test_a_strangers_text_is_harmless_in_lines(make: Any, hostile: str) -> None:
    alert = Alert(hostile, "ALERT", "NONE", 0, 6.5, 2.5, 90, 1e6, "threshold")

    for line in (metric_line(make.row(hostile)), venue_line(make.health(hostile, detail=hostile)), alert_line(alert)):
        assert line.isprintable()


def test_endless_text_is_cut(make: Any) -> None:
    assert len(venue_line(make.health(detail="x" * 10_000))) < 300


def test_lines_say_it_all(make: Any) -> None:
    alert = Alert("BTCUSDT", "ALERT", "NONE", 0, 6.5, 2.5, 90, 1.5e6, "threshold")

    assert alert_line(alert) == "BTCUSDT NONE -> ALERT: 6.50 liquidations/s, +2.50/s2, 1.50M USD in 60 s"
    assert venue_line(make.health(detail="2 topics refused")) == "bybit live, last data 0.2 s ago, 2 topics refused"
    assert metric_line(make.row("BTCUSDT", partial=True, usd_velocity_60s=10.0)) == (
        "BTCUSDT v10=1.50/s v60=1.50/s v300=1.500/s a=+1.500/s2 usd60=600 usd300=2 level=NONE partial"
    )
