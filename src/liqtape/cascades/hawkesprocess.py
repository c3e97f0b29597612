"""A Hawkes process with several exponential kernels: its state, intensity and likelihood. Hawkes 1971, Ogata 1988.

Each event makes others likelier for a while: `lambda(t) = mu + sum over m of n_m b_m R_m(t)`, where `R_m` is the sum of
`e^(-b_m (t - t_i))` over the events before t. The decays `b_m` are fixed, so that `R_m` needs no parameter and no event
is kept: O(number of decays) an event.
"""

from collections.abc import Iterable, Iterator, Sequence
from math import exp, expm1, log

from msgspec import Struct

__all__ = [
    "DECAYS",
    "HawkesParameters",
    "HawkesState",
    "collapsed",
    "log_likelihood",
    "spectral_radius",
    "stationary_rates",
]

DECAYS = (1.0, 0.1, 0.01, 0.001)
"""Per second: a second, ten seconds, a minute and a half, a quarter of an hour."""


class HawkesParameters(Struct, frozen=True):
    """`mu` in events/s; `children[m]` is how many events one event of weight 1 brings about by the kernel `decays[m]`.

    >>> one = HawkesParameters(0.1, (0.8,), (1.0,))
    >>> one.branching_ratio, round(one.stationary_rate, 9)
    (0.8, 0.5)
    """

    mu: float
    children: tuple[float, ...]
    decays: tuple[float, ...] = DECAYS

    @property
    def branching_ratio(self) -> float:
        """Return n: at 1 or above each event brings about as many as itself, and nothing is stationary."""
        return sum(self.children)

    @property
    def stationary_rate(self) -> float | None:
        """Return the mean rate, mu / (1 - n), where events weigh 1 in the mean; None where there is none."""
        ratio = self.branching_ratio
        return self.mu / (1.0 - ratio) if ratio < 1.0 else None

    def intensity(self, sums: Iterable[float]) -> float:
        """Return lambda in events/s from the `R_m`."""
        total = self.mu
        for children, decay, one in zip(self.children, self.decays, sums, strict=True):
            total += children * decay * one
        return total

    def expected_next(self, sums: Iterable[float], seconds: float) -> float:
        """Return how many events the present ones and the background bring about themselves in the next `seconds`.

        Children of children are left out: `1 - exp(-this)` is exactly the probability of at least one event.
        """
        total = self.mu * seconds
        for children, decay, one in zip(self.children, self.decays, sums, strict=True):
            total -= children * one * expm1(-decay * seconds)
        return total

    def expected_count(self, sums: Iterable[float], seconds: float) -> float:
        """Return E[N] of the next `seconds`, all generations included; for one kernel. Raises ValueError for more."""
        if len(self.decays) != 1:
            raise ValueError(f"expected_count knows one kernel, not {len(self.decays)}")
        rate = self.stationary_rate
        if rate is None:
            raise ValueError("expected_count needs a branching ratio below 1")
        k = self.decays[0] * (1.0 - self.branching_ratio)
        return rate * seconds - (self.intensity(sums) - rate) * expm1(-k * seconds) / k


class HawkesState:
    """The `R_m` as of the newest event, that event included.

    Events of one stamp need nothing of their own: no time passes between them, so their weights add up, as if they were
    one event of the weight of all.

    >>> state = HawkesState((1.0,)); state.add(0); state.add(1_000); state.add(1_000)
    >>> [round(one, 6) for one in state.at(2_000)]
    [0.871094]
    """

    __slots__ = ("_at_ms", "_per_ms", "_sums")

    def __init__(self, decays: Sequence[float] = DECAYS) -> None:
        self._per_ms = tuple(decay / 1000 for decay in decays)
        self._sums = [0.0] * len(self._per_ms)
        self._at_ms = 0

    def add(self, event_ms: int, weight: float = 1.0) -> None:
        """Add an event, in any order."""
        ahead = event_ms - self._at_ms
        sums = self._sums
        if ahead > 0:
            self._at_ms = event_ms
            for m, decay in enumerate(self._per_ms):
                sums[m] = sums[m] * exp(-decay * ahead) + weight
        elif ahead == 0:
            for m in range(len(sums)):
                sums[m] += weight
        else:
            for m, decay in enumerate(self._per_ms):
                sums[m] += weight * exp(decay * ahead)

    def at(self, now_ms: int) -> tuple[float, ...]:
        """Return the `R_m` at a time that is not before the newest event."""
        elapsed = max(0, now_ms - self._at_ms)
        return tuple(
            one * exp(-decay * elapsed) if elapsed else one for one, decay in zip(self._sums, self._per_ms, strict=True)
        )


def collapsed(times_ms: Iterable[int], weights: Iterable[float] | None = None) -> Iterator[tuple[int, float]]:
    """Yield sorted events as (time, weight), those of one stamp as one event of the weight of all.

    >>> list(collapsed([5, 7, 7, 9]))
    [(5, 1.0), (7, 2.0), (9, 1.0)]
    """
    held: tuple[int, float] | None = None
    for event_ms, weight in _weighed(times_ms, weights):
        if held is not None and held[0] == event_ms:
            held = event_ms, held[1] + weight
            continue
        if held is not None:
            yield held
        held = event_ms, weight
    if held is not None:
        yield held


def _weighed(times_ms: Iterable[int], weights: Iterable[float] | None) -> Iterator[tuple[int, float]]:
    if weights is None:
        return ((event_ms, 1.0) for event_ms in times_ms)
    return iter(zip(times_ms, weights, strict=True))


def log_likelihood(
    parameters: HawkesParameters, events: Iterable[tuple[int, float]], end_ms: int, begin_ms: int = 0
) -> float:
    """Return ln L, in nats, of collapsed events watched from `begin_ms` until `end_ms`, none before.

    >>> one = HawkesParameters(0.5, (0.5,), (1.0,))
    >>> round(log_likelihood(one, [(1_000, 1.0), (2_000, 1.0), (4_000, 1.0)], 6_000), 6)
    -6.016139
    """
    state = HawkesState(parameters.decays)
    total = -parameters.mu * (end_ms - begin_ms) / 1000
    for event_ms, weight in events:
        total += log(parameters.intensity(state.at(event_ms)))
        state.add(event_ms, weight)
        left = (end_ms - event_ms) / 1000
        for children, decay in zip(parameters.children, parameters.decays, strict=True):
            total += children * weight * expm1(-decay * left)
    return total


def spectral_radius(matrix: Sequence[Sequence[float]]) -> float:
    """Return the largest eigenvalue of a branching matrix (no entry below 0): below 1 the streams are stationary.

    >>> round(spectral_radius([[0.7, 0.5], [0.5, 0.7]]), 9)
    1.2
    """
    # The identity added makes the largest eigenvalue the only one of its size, and 1 larger.
    vector = [1.0] * len(matrix)
    radius = 0.0
    for _ in range(10_000):
        vector = [
            own + sum(a * other for a, other in zip(row, vector, strict=True))
            for own, row in zip(vector, matrix, strict=True)
        ]
        before, radius = radius, max(vector)
        vector = [one / radius for one in vector]
        if abs(radius - before) <= 1e-15 * radius:
            break
    return radius - 1.0


def stationary_rates(mu: Sequence[float], matrix: Sequence[Sequence[float]]) -> list[float] | None:
    """Return the mean rates `(I - A)^-1 mu` of streams that excite each other; None where they are not stationary.

    Generation by generation: what comes of itself, its children, theirs.

    >>> [round(rate, 9) for rate in stationary_rates([0.1], [[0.8]])]
    [0.5]
    """
    if spectral_radius(matrix) >= 1.0:
        return None
    total = generation = list(mu)
    while max(generation) > 1e-18 * max(total):
        generation = [sum(a * one for a, one in zip(row, generation, strict=True)) for row in matrix]
        total = [sum(both) for both in zip(total, generation, strict=True)]
    return total
