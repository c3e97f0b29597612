"""The chaos in virtual time: one seed is one execution, it finds what is put back, and what it found stays found."""

import os
import signal
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from typing import NoReturn

import pytest
from chaos.virtual import campaign
from chaos.virtual.bugs import BUGS, put_back
from chaos.virtual.disk import VirtualDisk
from chaos.virtual.execution import Outcome, execute
from chaos.virtual.minimise import kind_of, minimised
from chaos.virtual.scheme import Hazard, Scheme, parsed, scheme
from chaos.virtual.strands import Strands
from chaos.virtual.world import VirtualWorld
from msgspec.structs import replace

_ROOT = Path(__file__).resolve().parents[2]
_SHORT = 360.0


def _begun(path: Path, seed: int) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "chaos.virtual", "--seed", str(seed), "--seconds", str(_SHORT)]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    return subprocess.Popen([*command, "--trace", str(path)], cwd=_ROOT, env=environment, stdout=subprocess.PIPE)


def test_time_jumps_and_what_was_planned_first_happens_first() -> None:
    world, happened = VirtualWorld(1, keeps_trace=True), list[str]()
    for seconds, name in ((3_600.0, "late"), (1.0, "first"), (1.0, "second")):
        world.after(seconds, lambda name=name: happened.append(name))  # type: ignore[misc]
    world.advance(world.now_ns + 2_000_000_000, lambda: False)
    assert (happened, world.seconds) == (["first", "second"], 2.0)
    world.advance(None, lambda: len(happened) == 3)
    assert (happened[-1], world.seconds) == ("late", 3_600.0)
    with pytest.raises(RuntimeError, match="ever happen"):
        world.advance(None, lambda: False)


def test_a_seed_is_one_execution_byte_for_byte(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("first", "second")]
    for running in [_begun(path, 10) for path in paths]:
        said, _ = running.communicate()
        assert running.returncode == 0, said.decode()
    first, second = (path.read_bytes() for path in paths)
    assert first == second
    assert first.count(b"accepted") > 5
    assert b"hazard" in first


def test_a_scheme_is_drawn_from_its_seed_and_repeated_from_its_line() -> None:
    one = scheme(7)
    assert one == scheme(7) != scheme(8)
    assert parsed(" ".join(map(str, one.hazards))) == one.hazards
    assert "--seed 7" in one.line()


@pytest.mark.parametrize("seed", [2, 4])
def test_nothing_is_wrong_with_what_befalls(seed: int) -> None:
    outcome = execute(scheme(seed, _SHORT))
    assert outcome.problems == ()
    assert outcome.logged > 5


def _hit(kind: str, *hazards: Hazard) -> Outcome:
    with put_back(kind):
        return execute(Scheme(3, _SHORT, hazards))


def test_an_execution_that_ends_in_an_error_of_the_simulator_is_an_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: VirtualDisk, damage: str) -> None:
        raise OSError(f"no {damage} today")

    monkeypatch.setattr(VirtualDisk, "survive", fails)
    outcome = execute(Scheme(3, 60.0, (Hazard(20.0, "power", "us", 1.0),)))
    assert kind_of(outcome) == "raised"
    assert "OSError: no torn today (test_virtual.py" in outcome.problems[0]


def _takes_its_process_along(one: Scheme, bug: str) -> NoReturn:  # noqa: ARG001
    os._exit(3)


@pytest.mark.parametrize("bug", ["", "no such bug"])
def test_a_campaign_tells_what_it_came_to_whatever_becomes_of_its_processes(
    bug: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if not bug:
        monkeypatch.setattr(campaign, "_timed", _takes_its_process_along)
    before = signal.getsignal(signal.SIGTERM)
    options = Namespace(first=7, seconds=36.0, minutes=10.0, hours=0.02, workers=1, bug=bug)
    try:
        assert campaign.campaign(options) == 1
    finally:
        signal.signal(signal.SIGTERM, before)
    said = capsys.readouterr().out
    assert "2 seeds, 0.0 simulated hours, 0 liquidations, 2 seeds with problems" in said
    assert ("seed 8: 0.000 s: no end: KeyError" if bug else "seed 8: 0.000 s: no end: BrokenProcessPool") in said


def test_a_bug_that_is_put_back_is_found_and_made_small() -> None:
    silence = Hazard(30.0, "silence", "binance", 60.0)
    burst, other = Hazard(20.0, "burst", "binance", 80.0, 1), Hazard(40.0, "duplicate", "okx", 20.0)
    found = _hit("through-silence", burst, silence, other)
    assert kind_of(found) == "unreported"
    with put_back("through-silence"):
        small = minimised(found, execute)
    assert kind_of(small) == "unreported"
    assert silence in small.scheme.hazards
    assert other not in small.scheme.hazards
    assert execute(small.scheme).problems == ()


def test_a_power_cut_takes_nothing_that_is_on_the_disk_for_good(tmp_path: Path) -> None:
    world = VirtualWorld(1)
    disk = VirtualDisk(world, tmp_path, Strands(world))
    log = disk.connect(disk.directory / "log.sqlite", isolation_level=None)
    log.execute("PRAGMA journal_mode = WAL").fetchone()
    log.execute("CREATE TABLE kept (what TEXT)")
    for what in ("safe", "unsafe"):
        for _ in range(60):
            log.execute("INSERT INTO kept VALUES (?)", (what * 1_000,))
        if what == "safe":
            disk.sync((disk.directory / "log.sqlite-wal").stat().st_size)
    disk.survive("torn")
    kept = disk.connect(disk.directory / "log.sqlite")
    rows = [what[:4] for (what,) in kept.execute("SELECT what FROM kept ORDER BY rowid")]
    kept.close()
    log.close()
    assert rows[:60] == ["safe"] * 60
    assert 60 <= len(rows) < 120


@pytest.mark.parametrize("name", BUGS)
def test_each_bug_still_has_a_place_to_be_put_back_to(name: str) -> None:
    with put_back(name):
        pass


def test_who_is_killed_goes_on_where_it_was() -> None:
    """A burst, a kill in the middle of it, and a power cut: what came is logged once, or in a gap that is told."""
    hazards = (
        Hazard(20.0, "burst", "bybit", 80.0, 4),
        Hazard(50.0, "kill", "us", 3.0),
        Hazard(80.0, "power", "us", 10.0),
    )
    outcome = execute(Scheme(3, _SHORT, hazards))
    assert outcome.problems == ()
    assert outcome.logged > 100
    assert execute(replace(outcome.scheme, hazards=hazards[:1])).logged > outcome.logged


@pytest.mark.parametrize(
    ("seed", "seconds", "hazards"),
    [
        # What OKX's archive told before the fifth of its trades stood at stamps of a clock a minute fast.
        (1, 520.0, "0.000:skew:okx:0.000:60000 150.000:kill:us:100.000:0"),
        # After a start the time began by Bybit, 10 s behind; so long before it really was Binance's feed was up.
        (1, 480.0, "0:skew:bybit:0:-10000 100:burst:binance:100:1 150:kill:us:28:0"),
        # OKX, alone, took the time an hour back. When the others came back, so did their events, but not their gaps.
        (1, 300.0, "30:deaf:bybit:150:0 40:deaf:binance:100:0 41:burst:binance:90:1 50:step:okx:0:-3600000"),
        # The feeds of the run before were live by the stamps of a clock a minute fast, until after the next start;
        # and the feed of this run, which was told before that, was taken for one of a wrong time and forgotten.
        (1, 430.0, "0:skew:bybit:0:60000 100:burst:bybit:150:1 150:kill:us:30:0"),
        # What an earlier run was told late stood right beside a wrong time, and moved when that was put right.
        (7, 560.0, "0:skew:bybit:0:-10000 60:silence:okx:170:0 240:wall:us:0:-3600000 300:kill:us:2:0"),
        # Bybit refused one symbol: it is not whole, the others are.
        (1, 360.0, "20:burst:bybit:150:4 50:refuse:bybit:0:6"),
        # A clock that was known late, and right: nobody looked when the run before had received what it had.
        (
            50101,
            640.0,
            "0:skew:binance:0:10000 71:wall:us:0:3600000 378.206:kill:us:23.355:0 393.583:http:binance:97.496:403",
        ),
        # OKX's clock was set back while we stood still: what it told of 9 s was taken for all of 69 s.
        (20051, 600.0, "359.386:freeze:us:14.514:0 363.972:freeze:us:75.225:0 411.562:step:okx:0.000:-60000"),
        # OKX's clock had been set back an hour: the outage after that was an empty gap.
        (5042, 894.0, "223.560:step:okx:0.000:-3600000 569.992:freeze:us:83.713:0"),
        # A venue was an hour behind from the start: after a kill all that came was too old for any window.
        (2159, 560.0, "0.000:skew:bybit:0.000:-3600000 301.000:kill:us:103.038:0"),
        # A start on a full disk, our wall clock an hour slow: the gap of the start lay over all that was seen before.
        (
            329,
            800.0,
            "576.400:wall:us:0.000:-3600000 684.061:kill:us:2.000:0 685.658:bad:disk:14.811:0",
        ),
        # The common time of a start began by a clock a minute slow: the minute in which nobody ran counted as covered.
        (
            2089,
            900.0,
            "0.000:skew:bybit:0.000:-60000 224.814:duplicate:binance:83.333:0 532.510:power:us:111.630:0",
        ),
        # The same with our wall clock an hour slow as well: what the run before had seen must stay where it happened.
        (
            2089,
            560.0,
            "0.000:skew:bybit:0.000:-60000 358.421:power:us:54.792:0 401.292:wall:us:0.000:-3600000",
        ),
        # A wall clock was set back: for an hour nothing of the log was brought to the disk for good.
        (1, 120.0, "50.000:wall:us:0.000:-3600000"),
    ],
)
def test_what_was_found_is_found_no_more(seed: int, seconds: float, hazards: str) -> None:
    assert execute(Scheme(seed, seconds, parsed(hazards))).problems == ()
