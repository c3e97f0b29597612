import json
import time
from itertools import pairwise
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from liqtape.web.answers import ErrorAnswer, MetricsAnswer, NowAnswer
from liqtape.web.chartanswers import EventsAnswer, InstrumentAnswer

pytestmark = pytest.mark.usefixtures("running")

_LISTED = "metrics", "events", "cascades", "alerts", "gaps", "history", "levels", "price"


@pytest.fixture(scope="module")
def document(running: Any) -> dict[str, Any]:
    found: dict[str, Any] = running.get("/openapi.json")
    return found


def test_every_path_of_the_description_answers_with_its_moment(running: Any, document: dict[str, Any]) -> None:
    paths = [path for path in document["paths"] if path != "/api/v1/stream"]
    assert len(paths) > 15

    for path in paths:
        answer = running.get(path.replace("{instrument}", "BTCUSDT"))
        assert answer["as_of_ms"] > 1_700_000_000_000, path
        assert answer["as_of"].endswith("Z"), path
        schema = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
        declared = document["components"]["schemas"][schema.rpartition("/")[2]]["properties"]
        assert set(answer) == set(declared), path


def test_description_names_every_parameter_that_is_read(running: Any, document: dict[str, Any]) -> None:
    for path, methods in document["paths"].items():
        for parameter in methods["get"]["parameters"]:
            default = parameter["schema"].get("default")
            if parameter["in"] == "query" and default is not None:
                running.get(f"{path.replace('{instrument}', 'BTCUSDT')}?{parameter['name']}={default}")


def test_answers_are_the_declared_types(running: Any, fetch: Any) -> None:
    for path, kind in (
        ("/api/v1/now", NowAnswer),
        ("/api/v1/metrics", MetricsAnswer),
        ("/api/v1/metrics/BTCUSDT", InstrumentAnswer),
        ("/api/v1/events", EventsAnswer),
    ):
        msgspec.json.decode(fetch(running.url, path).body, type=kind)


def test_now_says_who_and_how_big(running: Any) -> None:
    now = running.get("/api/v1/now")

    assert now["mode"] == "live"
    assert now["trust"]["venues_total"] == 4
    assert 0 < len(now["instruments"]) <= 3
    assert now["instruments"] == sorted(now["instruments"], key=lambda share: -share["usd"])
    assert now["usd_60s"] >= sum(share["usd"] for share in now["instruments"]) * 0.999
    assert set(now["trust"]["throttled"]) == {"binance", "okx"}
    assert now["events_total"] > 500


def test_now_says_why_nothing_is_forecast(running: Any) -> None:
    forecasts = running.get("/api/v1/now")["forecast"]

    assert [forecast["target"] for forecast in forecasts] == [
        {"count": 5, "seconds": 60},
        {"count": 10, "seconds": 300},
    ]
    assert {forecast["probability"] for forecast in forecasts} == {None}
    assert {forecast["why"] for forecast in forecasts} == {"no model was trained; see liqtape train"}


def test_events_are_filtered_and_the_newest_come_first(running: Any) -> None:
    found = running.get("/api/v1/events?venue=bybit&side=long&min_usd=1000&limit=50")["events"]

    assert found
    assert all(e["venue"] == "bybit" and e["side"] == "long" and e["notional_usd"] >= 1000 for e in found)
    assert [e["event_ms"] for e in found] == sorted((e["event_ms"] for e in found), reverse=True)


def test_events_by_usd_are_the_largest(running: Any) -> None:
    largest = running.get("/api/v1/events?order=usd&limit=5")["events"]
    newest = running.get("/api/v1/events?limit=1000")["events"]

    assert len(largest) == 5
    assert min(e["notional_usd"] for e in largest) >= sorted(e["notional_usd"] for e in newest)[-5]


def test_events_since_last_year_say_what_is_not_there(running: Any) -> None:
    since_last_year = running.get("/api/v1/events?since=-365d")
    since_now = running.get("/api/v1/events?since=-1s")

    assert not since_last_year["is_complete"]
    assert since_last_year["kept_from_ms"] is not None
    assert since_now["is_complete"]


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/api/v1/events?limit=1000000000", 400, "limit"),
        ("/api/v1/events?limit=0", 400, "limit"),
        ("/api/v1/events?limit=ten", 400, "limit"),
        ("/api/v1/events?since=yesterday", 400, "since"),
        ("/api/v1/events?since=", 400, "since"),
        ("/api/v1/events?side=up", 400, "side"),
        ("/api/v1/events?min_usd=nan", 400, "min_usd"),
        ("/api/v1/events?limit=1&limit=2", 400, "twice"),
        ("/api/v1/events?colour=red", 400, "colour"),
        ("/api/v1/events?instrument=NOSUCHUSDT", 404, "NOSUCHUSDT"),
        ("/api/v1/events?since=99999999999999999999", 400, "since"),
        ("/api/v1/metrics/NOSUCHUSDT", 404, "NOSUCHUSDT"),
        ("/api/v1/metrics/%3Cimg%20src=x%20onerror=alert(1)%3E", 404, "img"),
        ("/api/v1/metrics/BTCUSDT?seconds=1", 400, "seconds"),
        ("/api/v1/levels/NOSUCHUSDT", 404, "NOSUCHUSDT"),
        ("/api/v1/price/NOSUCHUSDT", 404, "NOSUCHUSDT"),
        ("/api/v1/history?from=now&to=-1h", 400, "before"),
        ("/api/v1/history?from=2001-01-01", 400, "32 days"),
        ("/api/v1/history?symbol=NOSUCHUSDT", 400, "NOSUCHUSDT"),
        ("/api/v1/nothing", 404, "Not Found"),
        ("/static/../webapp.py", 404, "Not Found"),
        ("/static/%2e%2e/webapp.py", 404, "Not Found"),
    ],
)
def test_what_cannot_be_answered_says_what_where_and_how_to_mend(
    running: Any, fetch: Any, path: str, status: int, said: str
) -> None:
    answer = fetch(running.url, path)

    assert answer.status == status
    error = msgspec.json.decode(answer.body, type=ErrorAnswer)
    assert said in error.error
    assert error.where
    assert error.mend


def test_enum_error_names_what_is_allowed(running: Any, fetch: Any) -> None:
    error = fetch(running.url, "/api/v1/events?side=up").json()

    assert "long" in error["mend"]
    assert "short" in error["mend"]


def test_history_pages_join_to_the_whole(running: Any) -> None:
    running.wait_for(lambda: running.get("/api/v1/history?from=-10m&to=-4s&show=events&limit=1")["total"] > 100)
    until = round(time.time() * 1000) - 4_000  # fixed, so that the whole and the pages show the same span
    question = f"/api/v1/history?from={until - 600_000}&to={until}&show=events"
    whole = running.get(f"{question}&limit=1000")
    columns = whole["columns"]
    size = min(whole["total"], 1000) // 2
    pages = [running.get(f"{question}&limit={size}&offset={offset}") for offset in (0, size)]

    rows = [dict(zip(columns, row, strict=True)) for page in pages for row in page["rows"]]
    assert [row["id"] for row in rows] == [row[columns.index("id")] for row in whole["rows"][: 2 * size]]
    assert pages[0]["next"] == size


def test_events_of_the_history_need_no_extra(running: Any, fetch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    running.wait_for(lambda: running.get("/api/v1/history?from=-10m&to=-4s&show=events&limit=1")["total"] > 100)
    until = round(time.time() * 1000) - 4_000
    question = f"/api/v1/history?from={until - 600_000}&to={until}&limit=50&show="
    with_extra = running.get(f"{question}events")

    monkeypatch.setattr("liqtape.cli.past.find_spec", lambda _name: None)

    assert running.get(f"{question}events")["rows"] == with_extra["rows"]
    assert running.get(f"{question}gaps")["rows"]
    refused = fetch(running.url, f"{question}velocity")
    assert refused.status == 501
    assert "liqtape[analysis]" in refused.json()["error"] + refused.json()["mend"]


def test_velocity_of_the_history_has_equal_steps(running: Any) -> None:
    answer = running.get("/api/v1/history?from=-1m&every=10&symbol=BTCUSDT")

    assert "velocity_10s" in answer["columns"]
    assert answer["partial"] is not None
    at = answer["columns"].index("at_ms")
    times = [row[at] for row in answer["rows"]]
    assert {b - a for a, b in pairwise(times)} == {10_000}


def test_ledger_adds_up_by_connection(running: Any) -> None:
    answer = running.get("/api/v1/ledger")

    assert answer["is_balanced"]
    accepted = sum(counts["events_accepted"] for counts in answer["connections"].values())
    assert accepted == answer["total"]["events_accepted"] > 500


def test_health_says_what_venues_hide(running: Any) -> None:
    answer = running.get("/api/v1/health")

    assert [venue["venue"] for venue in answer["venues"]] == ["binance", "bybit", "okx", "hyperliquid"]
    assert "at most one" in answer["hides"]["binance"]
    assert set(answer["coverage"]) == {"binance", "bybit", "okx", "hyperliquid"}


def test_cascades_are_told_with_all_that_belongs_to_them(running: Any) -> None:
    running.wait_for(lambda: running.get("/api/v1/cascades")["cascades"])
    everything = running.get("/api/v1/cascades")

    assert everything["total"] >= everything["matched"] == len(everything["cascades"]) > 0
    for each in everything["cascades"]:
        assert each["begin_ms"] <= each["peak_ms"] <= each["last_ms"] <= everything["as_of_ms"] + 2_000
        assert each["end_ms"] in {None, each["last_ms"]}
        assert each["usd"] == pytest.approx(sum(part["usd"] for part in each["venues"]))
        assert ("the market" if each["scope"] == "market" else each["name"]) in each["why"]
    for name in {each["name"] for each in everything["cascades"]}:
        own = running.get(f"/api/v1/cascades?instrument={quote(name)}")["cascades"]
        assert all(name in {each["name"], *each["raised"]} for each in own)
    whole = running.get("/api/v1/cascades?parts=false")["cascades"]
    assert all(each["part_of"] is None for each in whole)
    critical = running.get("/api/v1/cascades?level=CRITICAL")["cascades"]
    assert all(each["level"] in {"CRITICAL", "EXTREME"} for each in critical)


def test_answers_are_json_whatever_is_in_them(running: Any, fetch: Any) -> None:
    answer = fetch(running.url, "/api/v1/metrics")

    assert answer.headers["content-type"] == "application/json"
    assert json.loads(answer.body)["rows"]


def test_chart_goes_on_before_memory_with_the_history(running: Any, until: Any) -> None:
    """A service that was started again remembers nothing; the history does."""
    began_ms = running.get("/api/v1/health")["started_ms"]
    until(lambda: running.get("/api/v1/now")["as_of_ms"] > began_ms + 20_000)
    since_ms = running.get("/api/v1/now")["as_of_ms"] - 2_000

    def forget() -> None:
        running.server.board.memory.clear(since_ms)

    before = running.get("/api/v1/metrics/BTCUSDT?seconds=600&points=600")["series"]
    running.call(forget)
    answer = running.get("/api/v1/metrics/BTCUSDT?seconds=600&points=600")["series"]
    market = running.get("/api/v1/metrics/MARKET?seconds=600")["series"]
    levels = running.get("/api/v1/levels/BTCUSDT?seconds=600")

    assert answer["source"] == market["source"] == "history"
    assert answer["kept_from_ms"] < since_ms
    older = {before["from_ms"] + k * 1000: count for k, count in enumerate(before["long_count"])}
    again = {answer["from_ms"] + k * 1000: count for k, count in enumerate(answer["long_count"])}
    compared = [at for at in older if at in again and answer["kept_from_ms"] < at < since_ms - 5_000 and older[at]]
    assert compared
    assert [again[at] for at in compared] == [older[at] for at in compared]
    assert sum(one["long_usd"] for one in levels["bins"]) > 0
    assert sum(filter(None, market["long_count"])) > sum(filter(None, answer["long_count"]))
