"""The page on reading the history: its blocks run as they stand while a log is being written, and miss no event."""

import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from msgspec.structs import replace
from tests.polling import wait_until

from liqtape.events import Gap, Liquidation
from liqtape.history.archive.archiver import Archiver
from liqtape.history.log.eventlog import EventLog
from liqtape.history.log.store import Store

_PAGE = Path(__file__).resolve().parents[2] / "docs" / "howto" / "read-the-history.md"
_HOUR_MS = 3_600_000

MakeLog = Callable[..., EventLog]
MakeMany = Callable[..., list[Liquidation]]


def blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", _PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def log(event_log: MakeLog, liquidations: MakeMany, tmp_path: Path) -> EventLog:
    """300 events, of which 200 are sealed, and an open log."""
    events = [replace(event, venue=("bybit", "okx")[serial % 2]) for serial, event in enumerate(liquidations(300))]
    directory = tmp_path / "history"
    directory.mkdir()
    store = Store(directory)
    store.write(events[:200])
    store.mark_hour(events[0].event_ms // _HOUR_MS * _HOUR_MS)
    store.write(events[200:250])
    store.close()
    log = event_log()
    log.offer(events[250:])
    log.gap(Gap("okx", 1_000, 3_500, "reset"))
    wait_until(lambda: not log.events_pending)
    archiver = Archiver(directory)
    assert archiver.seal(events[0].event_ms + 2 * _HOUR_MS) == 200
    archiver.close()
    return log


@pytest.fixture(autouse=True)
def _at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the page's default place the test's own, with the history of the fixtures in it."""
    home = tmp_path / "home"
    place = home / ".local" / "share" / "liqtape" / "history"
    place.parent.mkdir(parents=True)
    place.symlink_to(tmp_path / "history")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)


def test_every_block_runs_and_finds_all(log: EventLog, capsys: pytest.CaptureFixture[str]) -> None:
    names = _run_page()

    frames = {name: len(names[name]) for name in ("events", "newest", "newest_in_pandas", "everything")}
    assert frames == {"events": 200, "newest": 100, "newest_in_pandas": 100, "everything": 300}
    assert names["everything"]["seq"].to_list() == list(range(1, 301))
    assert names["by_minute"]["len"].sum() == 200
    told = capsys.readouterr().out
    assert re.search(r"bybit *│ *100 ", told)
    assert "okx reset 2.5 s" in told
    log.offer([replace(event, id="new") for _, event in log.after(299, 1)])  # and the writer was not stopped by it
    log.stop()
    assert log.events_logged == 51


def test_every_block_runs_before_the_first_hour_is_sealed(
    liquidations: MakeMany, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "history").mkdir()
    store = Store(tmp_path / "history")
    store.write(liquidations(7))
    store.close()

    names = _run_page()

    assert (len(names["newest"]), len(names["everything"])) == (7, 7)
    assert "C5USDT" in capsys.readouterr().out


def _run_page() -> dict[str, Any]:
    names: dict[str, Any] = {}
    for block in blocks():
        exec(block, names)
    return names


def test_the_command_line_reads_beside_the_writer(log: EventLog, require_server: Callable[[str], Path]) -> None:
    require_server("sqlite3")
    [command] = re.findall(r"^```sh\n(.*?)^```", _PAGE.read_text(), re.MULTILINE | re.DOTALL)

    assert log.events_logged == 50
    assert subprocess.run(["sh", "-c", command], check=True, capture_output=True, text=True).stdout == "100\n"


def test_readers_in_other_processes_see_a_growing_log(log: EventLog, liquidations: MakeMany) -> None:
    script = (
        "import sqlite3, sys\n"
        "log = sqlite3.connect(f'file:{sys.argv[1]}/log.sqlite?mode=ro', uri=True)\n"
        "seen = []\n"
        "while not seen or seen[-1] < 20_100:\n"
        "    count, newest = log.execute('SELECT count(*), max(seq) - 200 FROM unsealed_events').fetchone()\n"
        "    assert count == newest\n"
        "    if count not in seen[-1:]:\n"
        "        seen.append(count)\n"
        "        print(count, flush=True)\n"
    )
    command = [sys.executable, "-c", script, str(log.directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        counts = [int(reader.stdout.readline())]  # it reads before anything is written
        for first in range(1_000, 21_000, 10):
            log.offer(liquidations(10, first))
        counts += map(int, reader.stdout)
    assert reader.returncode == 0
    assert (counts[0], counts[-1]) == (100, 20_100)
    assert counts == sorted(set(counts))
    wait_until(lambda: log.events_logged == 20_050)


def test_duckdb_cannot_open_the_database_itself_without_a_network(log: EventLog) -> None:
    """If this ever passes, the page may say it more simply."""
    connection = duckdb.connect(config={"autoinstall_known_extensions": False})
    with pytest.raises(duckdb.Error, match=r"sqlite"):
        connection.execute(f"ATTACH '{log.directory}/log.sqlite' AS log (TYPE sqlite)")
    connection.close()


def test_a_reader_cannot_write(log: EventLog) -> None:
    reader = sqlite3.connect(f"file:{log.directory}/log.sqlite?mode=ro", uri=True)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("DELETE FROM events")
    reader.close()
