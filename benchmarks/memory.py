"""Bytes of buffered events, idle instruments and identities, by allocation tracking, each case in a fresh process."""

import gc
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Callable

from benchmarks.measure import Figure, Scale, figure
from liqtape.engine import VelocityEngine
from liqtape.events import Liquidation, Side
from liqtape.identity import Identities

_BEGIN_MS = 1_790_000_000_000
_EVENTS = 150_000
_IDLE = 10_000
_KIB = 1024
_FIXED_LIMIT = 16 * _KIB
_MIB = 1024 * 1024


def run(scale: Scale) -> list[Figure]:
    """What an event, an instrument and an identity occupy."""
    events, idle = scale.size(_EVENTS), scale.size(_IDLE)
    per_event = _in_a_process("events", events)
    seen = _in_a_process("identities", events)
    fixed, afterwards = _in_a_process("fixed", 0), _in_a_process("burst", events)
    window = "tracemalloc, 300 s full of one instrument, 70 % long"
    return [
        figure(
            "per buffered event beyond 16 KiB an instrument, worst moment",
            per_event,
            "bytes",
            f"{window}, looked at after each 2 % of {events:,} events",
            at_most=18,
        ),
        figure("fixed part of an instrument", [fixed[0] / _KIB], "KiB", "tracemalloc, first event", at_most=16),
        figure(
            "after a burst has left, beyond the fixed part",
            [(afterwards[0] - fixed[0]) / _KIB],
            "KiB",
            f"{events:,} events, then one event and one evaluation ten minutes later",
        ),
        figure(
            f"{idle:,} idle instruments, tracked",
            [value / _MIB for value in _in_a_process("idle", idle)],
            "MiB",
            "one event each, all long gone and evaluated once afterwards",
            at_most=200,
        ),
        figure(
            "identity store per event", seen, "bytes", f"{events:,} events over 5 minutes, worst moment", at_most=40
        ),
    ]


def _in_a_process(case: str, size: int) -> list[float]:
    command = [sys.executable, "-m", "benchmarks.memory", case, str(size)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=120)
    values: list[float] = json.loads(done.stdout)
    return values


def _tracked() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def _liquidation(serial: int, at_ms: int, instrument: str = "BTCUSDT") -> Liquidation:
    side: Side = "long" if serial % 10 < 7 else "short"
    usd = (serial * 7_919 % 100_003) / 7
    return Liquidation("bybit", instrument, instrument, side, 100.5, "bankruptcy", usd / 100.5, usd, at_ms, at_ms)


def _fixed(_: int) -> list[float]:
    return [float(_instrument_alone())]


def _instrument_alone() -> int:
    engine = VelocityEngine()
    engine.add(_liquidation(0, _BEGIN_MS, "ETHUSDT"))  # the dictionaries of the engine itself
    before = _tracked()
    engine.add(_liquidation(0, _BEGIN_MS))
    engine.add(_liquidation(9, _BEGIN_MS))
    engine.metrics("BTCUSDT", _BEGIN_MS)
    return _tracked() - before


def _events(size: int) -> list[float]:
    """Bytes per event each time another 2 % came, of a window that fills and then moves on; only the worst counts."""
    engine = VelocityEngine()
    engine.add(_liquidation(0, _BEGIN_MS, "ETHUSDT"))
    before = _tracked() + _FIXED_LIMIT
    worst = 0.0
    look = max(1, size // 50)
    for serial in range(2 * size):
        at_ms = _BEGIN_MS + serial * 300_000 // size
        engine.add(_liquidation(serial, at_ms))
        if serial >= size // 2 and serial % look == 0:
            engine.level("BTCUSDT", at_ms)
            worst = max(worst, (_tracked() - before) / min(serial + 1, size))
    return [worst]


def _burst(size: int) -> list[float]:
    engine = VelocityEngine()
    engine.add(_liquidation(0, _BEGIN_MS, "ETHUSDT"))
    before = _tracked()
    for serial in range(size):
        engine.add(_liquidation(serial, _BEGIN_MS + serial * 10_000 // size))
    later = _BEGIN_MS + 600_000
    for serial in (0, 9):
        engine.add(_liquidation(serial, later))
    engine.metrics("BTCUSDT", later)
    return [float(_tracked() - before)]


def _idle(size: int) -> list[float]:
    before = _tracked()
    engine = VelocityEngine()
    for i in range(size):
        engine.add(_liquidation(i, _BEGIN_MS, f"COIN{i}USDT"))
    for i in range(size):
        engine.metrics(f"COIN{i}USDT", _BEGIN_MS + 600_000)
    return [float(_tracked() - before)]


def _identities(size: int) -> list[float]:
    before = _tracked()
    seen = Identities()
    worst = 0.0
    look = max(1, size // 50)
    for serial in range(size):
        at_ms = _BEGIN_MS + serial * 300_000 // size
        seen.is_new(f"BTCUSDT:long:{at_ms}:{serial}.5:80000.5", at_ms)
        if serial >= size // 2 and serial % look == 0:
            worst = max(worst, (_tracked() - before) / (serial + 1))
    return [worst]


_CASES: dict[str, Callable[[int], list[float]]] = {
    "fixed": _fixed,
    "events": _events,
    "burst": _burst,
    "idle": _idle,
    "identities": _identities,
}

if __name__ == "__main__":
    tracemalloc.start()
    print(json.dumps(_CASES[sys.argv[1]](int(sys.argv[2]))))
