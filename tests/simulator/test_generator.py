import math
import random
from itertools import pairwise
from statistics import NormalDist

import pytest

from liqtape.simulator.generator import BTC_SIZE, SIZE, TAILS, Generator, branching_ratio, size_quantile
from liqtape.simulator.listings import LISTINGS, MARKETS, listing, on_grid
from liqtape.simulator.scenario import SCENARIOS, Block, Scenario, scenario


@pytest.mark.parametrize("name", SCENARIOS)
def test_same_seed_gives_the_same_liquidations_however_it_is_asked(name: str) -> None:
    at_once = Generator(scenario(name), seed=7).until(30_000)

    generator = Generator(scenario(name), seed=7)
    in_steps = [event for at_ms in range(0, 30_001, 20) for event in generator.until(at_ms)]

    assert in_steps == at_once
    assert at_once


def test_another_seed_gives_other_liquidations() -> None:
    assert Generator(scenario("calm"), seed=1).until(60_000) != Generator(scenario("calm"), seed=2).until(60_000)


def test_liquidations_come_in_order_with_their_own_serials() -> None:
    events = Generator(scenario("cascade"), seed=3).until(60_000)

    assert [event.at_ms for event in events] == sorted(event.at_ms for event in events)
    assert [event.serial for event in events] == list(range(1, len(events) + 1))


def test_block_is_one_millisecond_of_one_bybit_symbol() -> None:
    events = Generator(scenario("block"), seed=1).until(60_000)

    block = [event for event in events if event.at_ms == 5_000 and event.listing is listing("bybit", "BTCUSDT")]
    assert len(block) == 11_279


@pytest.mark.parametrize("seed", range(1, 6))
def test_cascade_passes_five_a_second_on_bybit_btcusdt_early(seed: int) -> None:
    events = Generator(scenario("cascade"), seed).until(12_000)

    newest_ten_seconds = [
        event for event in events if event.at_ms > 2_000 and event.listing is listing("bybit", "BTCUSDT")
    ]
    assert len(newest_ten_seconds) > 60


def test_calm_market_is_calm() -> None:
    events = Generator(scenario("calm"), seed=1).until(600_000)

    assert 0.2 < len(events) / 600 < 3


def test_price_falls_in_a_cascade() -> None:
    events = Generator(scenario("cascade"), seed=1).until(20_000)
    fills = [float(event.fill) for event in events if event.listing is listing("bybit", "BTCUSDT")]

    assert 0.955 < fills[-1] / fills[0] < 0.98


def test_cascade_closes_longs() -> None:
    events = Generator(scenario("cascade"), seed=1).until(30_000)

    assert sum(event.side == "long" for event in events) / len(events) > 0.9


def test_successive_liquidations_keep_their_side() -> None:
    events = [event for event in Generator(scenario("block"), seed=1).until(5_000) if event.at_ms == 5_000]

    kept = sum(one.side == two.side for one, two in pairwise(events))
    assert 0.96 < kept / len(events) < 0.98


def test_limit_of_a_closed_long_is_below_the_fill_and_of_a_short_above() -> None:
    for event in Generator(scenario("calm"), seed=1).until(120_000):
        assert (float(event.limit) < float(event.fill)) == (event.side == "long")


def test_process_is_stable_with_any_number_of_streams() -> None:
    assert branching_ratio(len(LISTINGS)) < 0.85
    assert branching_ratio(500) < 0.85


@pytest.mark.parametrize(
    ("u", "expected"),
    [(0.01, 2.950677122636), (0.5, 492.749040911093), (0.99, 78143.082233904), (0.9999, 2699927.334482809)],
)
def test_size_quantile_is_log_normal_with_a_pareto_tail(u: float, expected: float) -> None:
    assert size_quantile(u, (6.2, 2.2), (50_000, 1.3)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("body", [SIZE, BTC_SIZE])
def test_size_quantile_is_where_the_definition_has_its_exponents(body: tuple[float, float]) -> None:
    above = 1 - NormalDist(*body).cdf(math.log(6_000))

    for usd, share in [(6_000, 1.0), (60_000, 10**-0.9), (2_000_000, (1000 / 3) ** -0.9)]:
        assert size_quantile(1 - above * share, body, *TAILS) == pytest.approx(usd, rel=1e-9)
    for usd, share in [(20_000_000, 10**-2), (2_000_000_000, 1000**-2)]:
        beyond = above * (1000 / 3) ** -0.9 * share
        assert size_quantile(1 - beyond, body, *TAILS) == pytest.approx(usd, rel=1e-6)
    assert size_quantile(0.25, body, *TAILS) == pytest.approx(math.exp(NormalDist(*body).inv_cdf(0.25)))


@pytest.mark.parametrize("seed", range(1, 4))
def test_sizes_have_the_exponents_of_both_tails_and_no_atom_at_the_top(seed: int) -> None:
    dice = random.Random(seed)
    sizes = [size_quantile(1 - dice.random(), BTC_SIZE, *TAILS) for _ in range(200_000)]

    middle = [usd for usd in sizes if usd > 6_000]
    upper = sorted(usd for usd in sizes if usd > 2_000_000)
    # Hill's estimator, the middle one cut off at 2 M; the standard error of each is alpha / sqrt(number beyond).
    passed = sum(min(math.log(usd / 6_000), math.log(1000 / 3)) for usd in middle)
    ended = len(middle) - len(upper)
    assert ended / passed == pytest.approx(0.9, abs=3 * 0.9 / math.sqrt(ended))
    steepness = len(upper) / sum(math.log(usd / 2_000_000) for usd in upper)
    assert steepness == pytest.approx(2.0, abs=3 * 2.0 / math.sqrt(len(upper)))
    assert len(set(upper)) == len(upper) > 200


def test_simulated_sizes_do_not_pile_up_at_a_largest_one() -> None:
    crowd = Scenario("crowd", block=Block(at_ms=0, count=60_000))

    events = Generator(crowd, seed=1).until(0)

    largest = sorted(float(event.size) * float(event.fill) for event in events)[-10:]
    assert largest[-1] > 10_000_000
    assert all(more / less > 1.0001 for less, more in pairwise(largest))


def test_unknown_scenario_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ValueError, match="calm, cascade, block, faults"):
        scenario("storm")


@pytest.mark.parametrize(
    ("value", "grid", "text"),
    [
        (83930.66, "0.10", "83930.70"),
        (1e-9, "0.001", "0.001"),
        (6666.4, "1", "6666"),
        (0.00524314, "0.0000010", "0.0052430"),
    ],
)
def test_grid_prints_as_the_venues_do(value: float, grid: str, text: str) -> None:
    assert on_grid(value, grid) == text


def test_markets_have_dice_of_their_own_and_one_price() -> None:
    first = Generator(scenario("cascade"), seed=1)
    okx = Generator(scenario("cascade"), 1, MARKETS["okx"], "okx")

    assert {event.listing.venue for event in first.until(30_000)} == {"binance", "bybit"}
    assert {event.listing.venue for event in okx.until(30_000)} == {"okx"}
    assert first.prices.factor("BTC", 40_000) == okx.prices.factor("BTC", 40_000)


@pytest.mark.parametrize("market", ["okx", "hyperliquid"])
def test_block_is_of_its_venue_only(market: str) -> None:
    assert len(Generator(scenario("block"), 1, MARKETS[market], market).until(10_000)) < 200
