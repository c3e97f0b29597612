"""The scenarios by name: what happens to the simulated market, and when on its timeline."""

from msgspec import Struct

__all__ = ["SCENARIOS", "Block", "Scenario", "Shock", "scenario"]


class Shock(Struct, frozen=True):
    """A repeated crash: forced liquidations of longs arrive on their own and drag the price down."""

    first_ms: int = 2_000
    every_ms: int = 90_000
    immigrants: float = 42.0
    """Mean number of extra first-generation liquidations per unit of a listing's share."""
    sizes: float = 8.0
    """How many times larger the positions are that the falling price reaches: a calm day brings some 150,000
    liquidations, so that a few thousand more of the same sizes would be no rare minute of USD."""
    rise_ms: int = 5_000
    fade_ms: int = 12_000
    depth: float = 0.035
    """The part of its value that Bitcoin loses in one shock."""

    def since(self, at_ms: float) -> float:
        """Milliseconds since the newest shock began; negative before the first."""
        passed = at_ms - self.first_ms
        return passed if passed < 0 else passed % self.every_ms


class Block(Struct, frozen=True):
    """Very many liquidations of one symbol that bear one millisecond."""

    venue: str = "bybit"
    symbol: str = "BTCUSDT"
    at_ms: int = 5_000
    count: int = 11_279


class Scenario(Struct, frozen=True):
    """One market to simulate; times are milliseconds on the scenario's own timeline."""

    name: str
    shock: Shock | None = None
    block: Block | None = None
    faults: tuple[str, ...] = ()


SCENARIOS: dict[str, Scenario] = {
    item.name: item
    for item in (
        Scenario("calm"),
        Scenario("cascade", shock=Shock()),
        Scenario("block", block=Block()),
        Scenario("faults", shock=Shock(), faults=("duplicate", "cut", "first_again")),
    )
}


def scenario(name: str) -> Scenario:
    """The scenario of that name; `ValueError` names the ones there are."""
    try:
        return SCENARIOS[name]
    except KeyError:
        raise ValueError(f"unknown scenario {name!r}: one of {', '.join(SCENARIOS)}") from None
