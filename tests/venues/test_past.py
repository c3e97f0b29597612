"""What venues tell of past liquidations over REST."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqtape.errors import DecodeError
from liqtape.events import Invalid, RawLiquidation
from liqtape.venues import hyperliquid, okx
from liqtape.venues.base import BackfillRequest

T = 1_790_000_000_000
ACCOUNT = "0x" + "a" * 40


def _order(at_ms: int, size: str = "5", inst_id: str = "BTC-USDT-SWAP", **changes: Any) -> dict[str, Any]:
    row = {"bkLoss": "0", "bkPx": "80000", "ccy": "", "posSide": "long", "side": "sell", "sz": size, "ts": str(at_ms)}
    return {"details": [row | changes], "instId": inst_id, "instType": "SWAP", "uly": "BTC-USDT", "totalLoss": "0"}


def _past(*orders: dict[str, Any], code: str = "0") -> bytes:
    return msgspec.json.encode({"code": code, "msg": "", "data": list(orders)})


def _first() -> BackfillRequest:
    (request,) = okx.backfill_requests(T, T + 9_000, ["BTC-USDT-SWAP"])
    return request


def test_okx_is_asked_for_each_family_once() -> None:
    symbols = ["BTC-USDT-SWAP", "BTC-USDT-261225", "BTC-USDT-260925", "ETH-USD-SWAP"]
    symbols += [
        "BTC-USD-261030",
        "BTC-USD_UM-261030",
        "SUI-USD_UM_XPERP-310404",
    ]
    paths = [request.path for request in okx.backfill_requests(T, T + 9_000, symbols)]
    rest = f"&state=filled&before={T - 1}&after={T + 9_001}&limit=100"
    assert paths == [
        f"/api/v5/public/liquidation-orders?instType={what}{rest}"
        for what in (
            "SWAP&instFamily=BTC-USDT",
            "FUTURES&instFamily=BTC-USDT",
            "SWAP&instFamily=ETH-USD",
            "FUTURES&instFamily=BTC-USD",
            "FUTURES&instFamily=BTC-USD_UM",
            "FUTURES&instFamily=SUI-USD_UM_XPERP",
        )
    ]


def test_okx_rows_are_those_of_the_socket_but_replayed() -> None:
    page = okx.decode_backfill(_first(), _past(_order(T + 5), _order(T, "7", "BTC-USDT-SWAP")), 9)
    live = b'{"arg":{"channel":"liquidation-orders","instType":"SWAP"},"data":%b}' % msgspec.json.encode(
        [_order(T + 5)]
    )
    (seen,) = okx.decode(live, 9)
    assert page.events[0] == msgspec.structs.replace(seen, replayed=True)
    assert (len(page.events), page.following, page.whole) == (2, None, True)


def test_okx_a_full_page_is_followed_by_the_older_ones_that_millisecond_included() -> None:
    page = okx.decode_backfill(_first(), _past(*(_order(T + 500 - i) for i in range(100))), None)
    assert page.following is not None
    assert f"&before={T - 1}&after={T + 402}&" in page.following.path
    assert page.whole


def test_okx_a_page_of_one_millisecond_hides_what_is_behind_it() -> None:
    full = _past(*(_order(T + 5, str(i + 1)) for i in range(100)))
    first = okx.decode_backfill(_first(), full, None)
    assert first.following is not None
    again = okx.decode_backfill(first.following, full, None)
    assert (again.following, again.whole) == (None, False)


def test_okx_a_bad_row_leaves_the_gap_open() -> None:
    page = okx.decode_backfill(_first(), _past(_order(T), _order(T, posSide="both")), None)
    assert [type(event) for event in page.events] == [RawLiquidation, Invalid]
    assert not page.whole


@pytest.mark.parametrize(
    "order",
    [
        _order(T, "7", "BTC-USD_UM-261030"),
        _order(T, "7", "BTC-USDT-261225"),
        _order(T - 86_400_000),
        _order(T + 86_400_000),
    ],
    ids=["another family", "another type", "before", "after"],
)
def test_okx_an_answer_to_another_question_is_not_whole(order: dict[str, Any]) -> None:
    for count in (1, 100):
        page = okx.decode_backfill(_first(), _past(*[order] * count), None)
        assert (len(page.events), page.following, page.whole) == (count, None, False)


def test_hyperliquid_an_answer_of_another_time_is_not_whole() -> None:
    page = hyperliquid.decode_backfill(_asked(), msgspec.json.encode([_fill(T - 60_000, 1)]), None)
    assert (len(page.events), page.whole) == (1, False)


def test_okx_tells_of_about_a_day() -> None:
    """c05: a gap of 30 h is longer than it tells of, and so is one of a day: an observer found 23.6 h."""
    assert 20 * 3_600 <= okx.backfill_horizon_s <= 23.6 * 3_600


def test_okx_a_refusal_is_an_error() -> None:
    with pytest.raises(DecodeError, match="51155"):
        okx.decode_backfill(_first(), _past(code="51155"), None)


def _fill(at_ms: int, tid: int, *, liquidated: bool = True) -> dict[str, Any]:
    forced = {"liquidatedUser": "0x" + "b" * 40, "markPx": "80", "method": "market"}
    fill = {"coin": "BTC", "px": "80000", "sz": "0.1", "side": "B", "time": at_ms, "tid": tid, "dir": "Open Long"}
    return fill | ({"liquidation": forced} if liquidated else {})


def _asked(before: int = 0) -> BackfillRequest:
    (request,) = hyperliquid.backfill_requests(T, T + 9_000, [ACCOUNT])
    return msgspec.structs.replace(request, before=before)


def test_hyperliquid_is_asked_for_each_account() -> None:
    request = _asked()
    assert request.path == "/info"
    assert msgspec.json.decode(request.body) == {
        "type": "userFillsByTime",
        "user": ACCOUNT,
        "startTime": T,
        "endTime": T + 9_000,
        "aggregateByTime": False,
    }


def test_hyperliquid_fills_without_a_liquidation_are_none_and_the_account_tells_the_side() -> None:
    payload = msgspec.json.encode([_fill(T, 1), _fill(T + 1, 2, liquidated=False)])
    (event,) = (page := hyperliquid.decode_backfill(_asked(), payload, 9)).events
    assert isinstance(event, RawLiquidation)
    assert (event.side, event.replayed, event.native_id, event.receive_ms) == ("long", True, "1", 9)
    assert (page.following, page.whole) == (None, True)


def test_hyperliquid_a_full_page_is_followed_by_the_newer_ones() -> None:
    payload = msgspec.json.encode([_fill(T + i, i) for i in range(2_000)])
    page = hyperliquid.decode_backfill(_asked(), payload, None)
    assert page.following is not None
    assert msgspec.json.decode(page.following.body)["startTime"] == T + 1_999
    assert (page.following.before, page.whole) == (2_000, True)


def test_hyperliquid_tells_of_ten_thousand_fills_and_no_more() -> None:
    payload = msgspec.json.encode([_fill(T + i, i) for i in range(2_000)])
    assert not hyperliquid.decode_backfill(_asked(before=8_000), payload, None).whole


def test_hyperliquid_a_page_of_one_millisecond_hides_what_follows() -> None:
    payload = msgspec.json.encode([_fill(T, i) for i in range(2_000)])
    page = hyperliquid.decode_backfill(_asked(), payload, None)
    assert (page.following, page.whole) == (None, False)


@given(st.binary(max_size=200) | st.sampled_from([b"null", b"[]", b"[1]", b"{}", b'{"code":"0","data":[{}]}', b"[{}]"]))
def test_any_bytes_are_a_page_or_a_decode_error(payload: bytes) -> None:
    for module, request in ((okx, _first()), (hyperliquid, _asked())):
        try:
            module.decode_backfill(request, payload, None)
        except DecodeError:
            continue


def test_a_page_longer_than_pages_are_is_no_answer() -> None:
    with pytest.raises(DecodeError, match="101 rows, a page has 100"):
        okx.decode_backfill(_first(), _past(*(_order(T + i) for i in range(101))), None)
    with pytest.raises(DecodeError, match="2001 rows, a page has 2000"):
        hyperliquid.decode_backfill(_asked(), msgspec.json.encode([_fill(T + i, i) for i in range(2_001)]), None)
