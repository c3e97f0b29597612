"""A log written and killed again and again; run as a script, so that it may fork. Prints what it found as JSON.

Each round a child offers events and tells how many the log has acknowledged; it is killed at a random moment, and then
all that was acknowledged must be there, in order, once.
"""

import json
import os
import random
import signal
import sqlite3
import struct
import sys
import time
from pathlib import Path

from liqtape.events import Liquidation
from liqtape.history.log.eventlog import EventLog
from liqtape.history.log.layout import DATABASE


def event(number: int, serial: int) -> Liquidation:
    return Liquidation("okx", "A", "A", "long", 1.5, "fill", 2.0, 3.0, serial, serial, f"{number}:{serial}")


def write(directory: Path, number: int, told: int, seed: int) -> None:
    """Offer events until killed."""
    chance = random.Random(seed)
    log = EventLog(directory)
    log.start()
    serial = acknowledged = 0
    while True:
        size = chance.choice([1, 1, 1, 3, 40, 700])
        log.offer([event(number, serial + i) for i in range(size)])
        serial += size
        if log.events_logged != acknowledged:
            acknowledged = log.events_logged
            os.write(told, struct.pack("q", acknowledged))
        time.sleep(chance.choice([0, 0, 0.001, 0.004]))


def one_round(directory: Path, number: int, chance: random.Random) -> int:
    """Returns how many events the child was told are on disk."""
    here, there = os.pipe()
    child = os.fork()
    if child == 0:
        write(directory, number, there, chance.randrange(1 << 30))
    os.close(there)
    last = os.read(here, 8)
    time.sleep(chance.uniform(0, 0.06))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while told := os.read(here, 8):
        last = told
    os.close(here)
    return int(struct.unpack("q", last)[0])


def main(directory: Path, rounds: int, seed: int) -> None:
    chance = random.Random(seed)
    acknowledged = found = lost = doubled = 0
    kept: list[int] = []
    for number in range(rounds):
        told = one_round(directory, number, chance)
        connection = sqlite3.connect(directory / DATABASE)
        assert connection.execute("PRAGMA quick_check").fetchall() == [("ok",)]
        serials = [
            int(identity.partition(":")[2])
            for (identity,) in connection.execute(
                "SELECT id FROM events WHERE id LIKE ? ORDER BY seq", (f"{number}:%",)
            )
        ]
        (total,) = connection.execute("SELECT count(*) FROM events").fetchone()
        connection.close()
        kept.append(len(serials))
        lost += max(0, told - len(serials)) + abs(total - sum(kept))
        doubled += len(serials) - len(set(serials))
        assert serials == list(range(len(serials)))
        acknowledged += told
        found += len(serials)
    sys.stdout.write(json.dumps({"acknowledged": acknowledged, "found": found, "lost": lost, "doubled": doubled}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
