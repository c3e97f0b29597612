"""The null band of a best lag: how often streams that know nothing of each other exceed it, and what rises above it."""

import random
from collections.abc import Sequence
from itertools import combinations
from math import exp

import numpy as np
import pytest
from benchmarks.stationary import hawkes

from liqtape.engine.correlation.estimators import PATIENCE_MS, CountCorrelation, LeadLag
from liqtape.engine.correlation.nullband import CHANCE, clustering, effective_bins, null_band

_T = 1_790_000_000_000
_Counts = Sequence[Sequence[int]]
"""Of each stream, bin by bin."""


def _fed(streams: _Counts) -> CountCorrelation:
    found = CountCorrelation(start_ms=_T, limit=len(streams))
    for second, counts in enumerate(zip(*streams, strict=True)):
        for name, count in enumerate(counts):
            if count:
                found.add(str(name), _T + 1000 * second, count)
    found.advance(_T + 1000 * len(streams[0]) + PATIENCE_MS)
    return found


def _poisson(seed: int, per_second: float, streams: int, seconds: int) -> _Counts:
    counts: list[list[int]] = np.random.default_rng(seed).poisson(per_second, (streams, seconds)).tolist()
    return counts


def _clustered(seed: int, per_second: float, streams: int, seconds: int) -> _Counts:
    which, at_ms = hawkes(np.random.default_rng(seed), 86_400 * per_second, streams, seconds / 86_400)
    counts = np.zeros((streams, seconds), int)
    np.add.at(counts, (which, at_ms // 1000), 1)
    found: list[list[int]] = counts.tolist()
    return found


def _share(found: Sequence[LeadLag], *, leads: bool = False) -> float:
    known = [pair for pair in found if pair.null_band is not None]
    assert len(known) >= 60
    rarity = [pair.significant_lag for pair in known]
    if leads:
        return sum(bool(lag) for lag in rarity) / len(known)
    above = sum(max(rho for rho in pair.rho.values() if rho is not None) > (pair.null_band or 0.0) for pair in known)
    return above / len(known)


@pytest.mark.parametrize("draw", [_poisson, _clustered])
@pytest.mark.parametrize(
    ("per_second", "seconds"), [(0.02, 3_600), (0.1, 1_200), (0.1, 3_600), (1.0, 600), (1.0, 2_400), (10.0, 900)]
)
def test_independent_streams_exceed_it_in_five_percent_at_most(draw: object, per_second: float, seconds: int) -> None:
    assert callable(draw)
    streams = _fed(draw(7, per_second, 24, seconds))

    pairs = [streams.lead_lag(x, y) for x, y in combinations(streams.shown(), 2)]

    assert _share(pairs) <= CHANCE
    assert _share(pairs, leads=True) <= CHANCE


def test_streams_that_begin_later_do_not_correlate_by_beginning() -> None:
    # As in a running service: both are followed from a minute on, and count as silent before.
    busy = [[0] * 900 + list(counts) for counts in _poisson(3, 3.0, 24, 300)]
    streams = _fed([[1] * 1_200, *busy])

    pairs = [streams.lead_lag(str(x), str(y)) for x, y in combinations(range(1, 25), 2)]

    assert min(pair.rho[0] or 0.0 for pair in pairs) > 0.2
    assert _share(pairs) <= CHANCE


def test_of_streams_that_swell_together_none_leads() -> None:
    draw, numbers = random.Random(5), np.random.default_rng(5)
    pairs = []
    for _ in range(60):
        swell, rates = 0.0, []
        for _ in range(900):
            swell = 0.95 * swell + 0.312 * draw.gauss(0, 1)
            rates.append(2.0 * exp(1.2 * swell - 0.72))
        streams = _fed([numbers.poisson(rates).tolist() for _ in range(2)])
        pairs.append(streams.lead_lag("0", "1"))

    assert _share(pairs) > 0.9  # they do have to do with each other
    assert _share(pairs, leads=True) <= CHANCE + 0.056


@pytest.mark.parametrize("per_second", [0.05, 1.0])
def test_a_lead_of_half_the_events_is_seen(per_second: float) -> None:
    first = _poisson(1, per_second, 60, 1_200)
    numbers = np.random.default_rng(2)
    second = [
        (np.array([0, 0, *numbers.binomial(counts, 0.5)[:-2]]) + numbers.poisson(per_second / 2, 1_200)).tolist()
        for counts in first
    ]
    found = [_fed(pair).lead_lag("0", "1").significant_lag for pair in zip(first, second, strict=True)]

    assert found.count(2) >= 57
    assert found.count(2) + found.count(None) == 60


@pytest.mark.parametrize(
    ("rho", "band", "expected"),
    [
        ({-1: 0.1, 0: 0.5, 1: 0.2}, 0.3, 0),
        ({-1: 0.1, 0: 0.3, 1: 0.2}, 0.3, None),  # inside
        ({-1: 0.7, 0: 0.3, 1: 0.2}, 0.3, -1),
        ({-1: 0.7, 0: 0.5, 1: 0.2}, 0.3, None),  # above the band, and not by it above lag 0
        ({-1: 0.7, 0: 0.3, 1: 0.2}, None, None),
        ({-1: None, 0: None, 1: None}, None, None),
    ],
)
def test_no_lead_without_significance(rho: dict[int, float | None], band: float | None, expected: int | None) -> None:
    assert LeadLag(rho, band).significant_lag == expected


def test_effective_bins_are_those_of_the_weights() -> None:
    for bins in (1, 7, 300, 5_000):
        weights = [2 ** (-age / 300) for age in range(bins)]

        assert effective_bins(300.0, bins) == pytest.approx(sum(weights) ** 2 / sum(w * w for w in weights))


def test_the_band_is_wider_for_fewer_bins_for_clusters_and_for_more_lags() -> None:
    assert null_band(1.0, 100.0, 1.0, 11) > null_band(1.0, 800.0, 1.0, 11)
    assert null_band(1.0, 800.0, clustering(0.1, 0.1), 11) > null_band(1.0, 800.0, clustering(0.0, 0.1), 11)
    assert null_band(1.0, 800.0, 1.0, 21) > null_band(1.0, 800.0, 1.0, 11)
    # Of very many events it is the normal quantile of the best of eleven.
    assert null_band(50.0, 800.0, 1.0, 11) == pytest.approx(2.609 / 800**0.5, rel=0.01)
