import json
from collections.abc import Callable
from typing import Any

import pytest

from liqtape.simulator import okx
from liqtape.simulator.generator import TrueLiquidation
from liqtape.simulator.listings import LISTINGS, listing
from liqtape.simulator.wire import Answer, Arrival, RestRequest, ServerLimits, VenuePublisher

T0 = 1_795_000_000_000


def ask(publisher: VenuePublisher, path: str, **query: str) -> Answer:
    answer = publisher.rest(RestRequest(f"api/v5/public/{path}", query), T0)
    assert answer is not None
    return answer


def body(answer: Answer) -> Any:
    return json.loads(json.dumps(answer.body))


def instruments(**query: str) -> dict[str, Any]:
    answer = body(ask(okx.publisher(1, ServerLimits()), "instruments", **query))
    assert answer["code"] == "0"
    return {row["instId"]: row for row in answer["data"]}


@pytest.fixture
def printing() -> tuple[VenuePublisher, list[Any]]:
    """A publisher that printed 250 swaps of Bitcoin, some of Ether, and two dated contracts; and what it sent."""
    publisher = okx.publisher(1, ServerLimits())
    symbols = ["BTC-USDT-SWAP"] * 250 + ["ETH-USDT-SWAP"] * 3 + ["BTC-USDT-261225"] * 2
    for serial, symbol in enumerate(symbols):
        true = TrueLiquidation(serial, 2_000 * serial, listing("okx", symbol), "long", "84000.1", "83000.0", "2.50")
        publisher.add(Arrival(true, T0 + 2_000 * serial, T0 + 2_000 * serial))
    sent = [json.loads(frame.body) for frame in publisher.flush()]
    return publisher, [
        (entry["instId"], detail) for message in sent for entry in message["data"] for detail in entry["details"]
    ]


def told(answer: Answer) -> list[Any]:
    return [(entry["instId"], detail) for entry in body(answer)["data"] for detail in entry["details"]]


def test_instruments_have_the_shape_of_the_real_answer(
    real_frames: Callable[[str], list[Any]], shape: Callable[[Any], Any]
) -> None:
    real = real_frames("okx")[8]
    ours = instruments(instType="SWAP")

    assert list(body(ask(okx.publisher(1, ServerLimits()), "instruments", instType="SWAP"))) == list(real)
    for row in real["data"]:
        mine = ours[row["instId"]]
        assert shape(mine) == shape(row)
        for key in ("ctMult", "ctType", "ctVal", "ctValCcy", "instFamily", "lotSz", "settleCcy", "tickSz", "uly"):
            assert mine[key] == row[key]


@pytest.mark.parametrize(
    ("kind", "symbol", "expected"),
    [
        ("SWAP", "BTC-USD-SWAP", ("inverse", "100", "USD", "BTC", "")),
        ("SWAP", "DOGE-USDT-SWAP", ("linear", "1000", "DOGE", "USDT", "")),
        ("SWAP", "PEPE-USDT-SWAP", ("linear", "10000000", "PEPE", "USDT", "")),
        ("SWAP", "BTC-USDC-SWAP", ("linear", "0.0001", "BTC", "USDC", "")),
        ("FUTURES", "BTC-USD-261225", ("inverse", "100", "USD", "BTC", "1798185600000")),
    ],
)
def test_contract_sizes(kind: str, symbol: str, expected: tuple[str, ...]) -> None:
    row = instruments(instType=kind)[symbol]

    assert (row["ctType"], row["ctVal"], row["ctValCcy"], row["settleCcy"], row["expTime"]) == expected


def test_kinds_together_are_all_listings_and_can_be_narrowed() -> None:
    symbols = {item.symbol for item in LISTINGS if item.venue == "okx"}

    assert instruments(instType="SWAP").keys() | instruments(instType="FUTURES").keys() == symbols
    assert list(instruments(instType="SWAP", uly="BTC-USD")) == ["BTC-USD-SWAP"]
    assert list(instruments(instType="SWAP", instId="ETH-USDT-SWAP")) == ["ETH-USDT-SWAP"]


def test_past_liquidations_are_what_was_sent_newest_first_page_by_page(
    printing: tuple[VenuePublisher, list[Any]],
) -> None:
    publisher, sent = printing
    pages: list[list[Any]] = []
    after = ""
    for _ in range(5):
        answer = ask(publisher, "liquidation-orders", instType="SWAP", uly="BTC-USDT", state="filled", after=after)
        if not told(answer):
            break
        pages.append(told(answer))
        assert [str(row.event_ms) for row in answer.rows] == [detail["ts"] for _, detail in pages[-1]]
        after = pages[-1][-1][1]["ts"]

    assert [len(page) for page in pages] == [100, 100, 50]
    assert [item for page in pages for item in page] == [item for item in reversed(sent) if item[0] == "BTC-USDT-SWAP"]


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"before": str(T0 + 490_000)}, 4),
        ({"before": str(T0), "after": str(T0 + 6_000)}, 2),
        ({"limit": "7"}, 7),
        ({"state": "unfilled"}, 0),
        ({"uly": "ETH-USDT"}, 3),
        ({"uly": "", "instFamily": "ETH-USDT"}, 3),
        ({"instType": "FUTURES"}, 2),
        ({"uly": "BTC-USD"}, 0),
    ],
)
def test_past_liquidations_are_bounded(
    printing: tuple[VenuePublisher, list[Any]], query: dict[str, str], count: int
) -> None:
    publisher, _ = printing

    answer = ask(publisher, "liquidation-orders", **{"instType": "SWAP", "uly": "BTC-USDT"} | query)

    assert len(told(answer)) == len(answer.rows) == count


@pytest.mark.parametrize(
    ("path", "query", "code"),
    [
        ("instruments", {}, "51000"),
        ("instruments", {"instType": "SPOT"}, "51000"),
        ("liquidation-orders", {"instType": "MARGIN", "uly": "BTC-USDT"}, "51000"),
        ("liquidation-orders", {"instType": "SWAP"}, "50015"),
        ("liquidation-orders", {"instType": "SWAP", "uly": "BTC-USDT", "after": "yesterday"}, "51000"),
    ],
)
def test_bad_queries_get_a_code(path: str, query: dict[str, str], code: str) -> None:
    answer = ask(okx.publisher(1, ServerLimits()), path, **query)

    assert (body(answer)["code"], body(answer)["data"]) == (code, [])


def test_other_requests_have_no_answer() -> None:
    publisher = okx.publisher(1, ServerLimits())

    assert publisher.rest(RestRequest("api/v5/public/time", {}), T0) is None
    assert publisher.rest(RestRequest("api/v5/public/instruments", {"instType": "SWAP"}, "POST"), T0) is None
