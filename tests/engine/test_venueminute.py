"""The minute of a venue, of instruments and of the market against a recount of all events."""

from hypothesis import given
from hypothesis import strategies as st

from liqtape.engine import VelocityEngine
from liqtape.engine.levels.returnperiods import MARKET_KEY, StreamKey
from liqtape.events import Liquidation

_T = 1_790_000_000_000
_VENUES = ("bybit", "binance", "okx")
_STEPS = st.lists(
    st.tuples(
        st.sampled_from(_VENUES),
        st.sampled_from(("BTCUSDT", "ETHUSDT")),
        st.sampled_from((0, 1, 500, 20_000, 59_999, 60_000, 60_001, 320_000)),  # time that passes before
        st.sampled_from((-61_000, -60_000, -3_000, 0, 0, 0, 1_500)),  # its stamp against the time
        st.none() | st.floats(0.01, 1e7),
    ),
    max_size=40,
)


@given(_STEPS, st.sampled_from((0, 900, -1_500)))
def test_minutes_equal_a_recount(steps: list[tuple[str, str, int, int, float | None]], behind: int) -> None:
    engine, now_ms, added = VelocityEngine(), _T, []
    at = {}
    for venue, instrument, passed, offset, usd in steps:
        now_ms += passed
        at = {name: now_ms - behind * place for place, name in enumerate(_VENUES)}
        event = Liquidation(venue, instrument, instrument, "long", 1.0, "fill", 1.0, usd, now_ms + offset)
        if engine.add(event):
            added.append(event)
        engine.look([(venue, instrument)], now_ms, at)
        for key in [
            MARKET_KEY,
            *(StreamKey(name, None) for name in _VENUES),
            *(StreamKey(name, "BTCUSDT") for name in (None, *_VENUES)),
        ]:
            inside = [
                event
                for event in added
                if key.venue in {None, event.venue}
                and key.instrument in {None, event.instrument}
                and at[event.venue] - 60_000 < event.event_ms <= at[event.venue]
            ]
            micro = sum(round((event.notional_usd or 0.0) * 1_000_000) for event in inside)
            assert engine.minute(key, now_ms, at) == (micro / 1_000_000, len(inside)), key


def test_time_that_goes_back_finds_what_had_left() -> None:
    engine = VelocityEngine()
    engine.add(Liquidation("bybit", "BTCUSDT", "BTCUSDT", "long", 1.0, "fill", 1.0, 10.0, _T))
    engine.look([("bybit", "BTCUSDT")], _T)
    assert engine.minute(MARKET_KEY, _T + 60_000) == (0.0, 0)
    assert engine.minute(MARKET_KEY, _T + 59_999) == (10.0, 1)


def test_what_is_dropped_leaves_the_minute_and_changes_nothing_later() -> None:
    engine = VelocityEngine()
    for place, name in enumerate(("AUSDT", "BUSDT", "CUSDT")):
        engine.add(Liquidation("bybit", name, name, "long", 1.0, "fill", 1.0, 10.0**place, _T + 1_000 * place))
        engine.look([("bybit", name)], _T + 1_000 * place)
    assert engine.minute(StreamKey("bybit", None), _T + 3_000) == (111.0, 3)
    engine.forget(["AUSDT", "CUSDT"])
    assert engine.minute(StreamKey("bybit", None), _T + 3_000) == (10.0, 1)
    assert engine.minute(StreamKey("bybit", None), _T + 60_999) == (10.0, 1)
    assert engine.minute(StreamKey("bybit", None), _T + 61_000) == (0.0, 0)
