"""Our labels are those of the rule, row by row."""

import csv
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from liqtape.eventfiles.readers import load
from liqtape.events import Liquidation
from liqtape.exam.cascadelabels import ALL, LabelledCascade, labels_of
from liqtape.exam.markedstream import MarkedStream, quantile

_SETS = (
    "aave_wbtc_20220212_20230630",
    "binance_all_20251211_0136_0230",
    "binance_btcusdt_20241204",
    "bitmex_xbtusd_20200416_20200508",
    "hl_20251010_RECONSTRUCTED_events",
)
_LEAST_OF_A_SYMBOL = 200


def _stream(events: list[Liquidation]) -> MarkedStream:
    return MarkedStream(
        [one.event_ms for one in events],
        [one.notional_usd or 0.0 for one in events],
        [one.side == "long" for one in events],
    )


def _expected(row: dict[str, str]) -> LabelledCascade:
    return LabelledCascade(
        row["scope"],
        row["rule"],
        int(row["start_ms"]),
        int(row["end_ms"]),
        int(row["peak_ms"]),
        int(row["events"]),
        float(row["usd"]),
        float(row["peak_usd_60s"]),
        int(row["peak_events_60s"]),
        int(row["peak_events_10s"]),
        int(row["peak_events_1s"]),
        float(row["long_share_usd"]),
        int(row["severity"]),
        row["agree"] == "1",
    )


@pytest.mark.parametrize("stem", _SETS)
def test_labels_are_those_of_the_rule_row_by_row(stem: str, history_file: Callable[[str], Path]) -> None:
    table = load(history_file(f"{stem}.parquet"))
    events = [table.event(i) for i in table.in_order()]
    with history_file(f"{stem}.labels.csv").open(newline="", encoding="utf-8") as opened:
        # ("known" is a row by hand, of what is known of that day)
        expected = [_expected(row) for row in csv.DictReader(opened) if row["rule"] != "known"]
    counts = Counter(one.symbol for one in events)
    symbols = sorted(name for name, count in counts.items() if _LEAST_OF_A_SYMBOL <= count < len(events))

    found = labels_of(ALL, _stream(events))
    for symbol in symbols:
        found += labels_of(symbol, _stream([one for one in events if one.symbol == symbol]))

    assert found == expected


def test_a_stream_of_few_events_has_no_labels() -> None:
    assert labels_of(ALL, MarkedStream(list(range(49)), [1e6] * 49, [True] * 49)) == []


def test_a_burst_in_calm_is_found_by_both_rules() -> None:
    times = [60_000 * i for i in range(300)] + [18_100_000 + 500 * i for i in range(100)]
    usd = [1_000.0] * 300 + [50_000.0] * 100

    found = labels_of(ALL, MarkedStream(times, usd, [True] * 400))

    assert [(one.rule, one.start_ms, one.end_ms, one.severity) for one in found] == [
        ("rate", 18_100_000, 18_149_500, 3),
        ("burst", 18_100_000, 18_149_500, 3),
    ]
    assert all(one.does_agree and one.long_share_usd == 1.0 for one in found)


def test_quantiles_lie_between_values() -> None:
    numpy = pytest.importorskip("numpy")
    values = [3.0, 1.0, 7.5, 2.0, 2.0, 11.0]

    for share in (0.0, 0.1, 0.5, 0.9, 0.99, 1.0):
        assert quantile(values, share) == numpy.quantile(values, share)
