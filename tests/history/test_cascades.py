"""Cascades in the history: recorded as they were told, kept over a kill, and computed where no run recorded them."""

import csv
import io
import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest
from tests.cascades.samples import T0, past

from liqtape.cascades.cascade import Cascade
from liqtape.cli.app import main
from liqtape.engine import VelocityEngine
from liqtape.history.archive.retention import retain
from liqtape.history.log.database import open_for_reading, open_for_writing
from liqtape.history.log.journal import CascadeEntry, CascadesSinceEntry, FeedUpEntry
from liqtape.history.log.layout import DATABASE, VERSION, schema_sql
from liqtape.history.log.store import Store
from liqtape.history.query.recordedcascades import recorded_cascades
from liqtape.pipeline.pastwatch import cascades_of

_HOUR_MS = 3_600_000
_SPAN = ("--from", str(T0), "--to", str(T0 + 60 * _HOUR_MS))


def _entry(cascade: Cascade) -> CascadeEntry:
    record = msgspec.json.encode(cascade).decode()
    return CascadeEntry(cascade.id, cascade.begin_ms, cascade.last_ms, cascade.end_ms, record)


@pytest.fixture(name="computed", scope="module")
def _computed() -> Sequence[Cascade]:
    return cascades_of(past(), VelocityEngine())


def test_the_bursts_are_cascades(computed: Sequence[Cascade]) -> None:
    big = [one for one in computed if one.name == "BTCUSDT" and one.usd > 1e6]

    assert [(one.begin_ms, one.events, one.side) for one in big] == [
        (T0 + hours * _HOUR_MS, 61, "long")
        for hours in (30, 40)  # with the quiet stream's one of that very minute
    ]
    assert all(one.end_ms == one.begin_ms + 29_507 for one in big)
    assert all(one.gaps is None for one in big)
    assert all((one.times_usual or 0) > 100 for one in big)


def test_a_log_of_version_2_is_migrated_and_read_meanwhile(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / DATABASE)) as connection:
        connection.executescript(f"{schema_sql(1)} {schema_sql(2)} PRAGMA user_version = 2;")
        connection.execute("INSERT INTO coverage VALUES ('bybit', 1, 2)")
        connection.commit()
    assert recorded_cascades(tmp_path, 0, 1).since_ms is None

    open_for_writing(tmp_path, "NORMAL").close()

    with closing(open_for_reading(tmp_path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,) == (3,)
        assert connection.execute("SELECT * FROM coverage").fetchall() == [("bybit", 1, 2)]
    assert recorded_cascades(tmp_path, 0, 1).cascades == []


def test_what_was_told_last_is_read_back_to_the_byte(tmp_path: Path, computed: Sequence[Cascade]) -> None:
    one = computed[-1]
    store = Store(tmp_path)
    opened = msgspec.structs.replace(one, end_ms=None, events=1, last_ms=one.begin_ms)
    store.write([], [_entry(opened), CascadesSinceEntry(T0), _entry(one), CascadesSinceEntry(T0 + 1)])
    store.close()

    past = recorded_cascades(tmp_path, one.begin_ms, one.last_ms)

    assert msgspec.json.encode(past.cascades) == msgspec.json.encode([one])
    assert past.since_ms == T0
    assert recorded_cascades(tmp_path, one.last_ms, one.last_ms + 1).cascades == []
    assert recorded_cascades(tmp_path, 0, one.begin_ms - 1).cascades == []


def test_what_a_kill_left_open_ends_where_it_was_last_seen(tmp_path: Path, computed: Sequence[Cascade]) -> None:
    one = msgspec.structs.replace(computed[-1], end_ms=None)
    store = Store(tmp_path)
    store.write([], [_entry(one)])
    store.close()

    store = Store(tmp_path)
    store.begin_run(T0)
    store.close()

    (after,) = recorded_cascades(tmp_path, 0, 1 << 62).cascades
    assert after == msgspec.structs.replace(one, end_ms=one.last_ms, is_cut=True)


def test_retention_takes_old_cascades(tmp_path: Path, computed: Sequence[Cascade]) -> None:
    store = Store(tmp_path)
    store.write([], [_entry(one) for one in computed])
    store.close()

    with closing(open_for_writing(tmp_path, "NORMAL")) as connection:
        retain(tmp_path, connection, computed[-1].last_ms, 1 << 40)

    assert [one.id for one in recorded_cascades(tmp_path, 0, 1 << 62).cascades] == [computed[-1].id]


@pytest.fixture(name="unrecorded", scope="module")
def _unrecorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A history of liquidations alone, as a replay writes it."""
    directory = tmp_path_factory.mktemp("history")
    store = Store(directory)
    store.write(past())
    store.close()
    return directory


@pytest.mark.parametrize("extra", [True, False])
def test_where_no_run_recorded_them_they_are_computed_and_that_is_said(
    unrecorded: Path,
    computed: Sequence[Cascade],
    extra: bool,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not extra:
        monkeypatch.setattr("liqtape.cli.past.find_spec", lambda _: None)

    code = main(["history", "--history", str(unrecorded), "--cascades", *_SPAN, "--format", "ndjson"])

    told = capfd.readouterr()
    rows = [json.loads(line) for line in told.out.splitlines()]
    assert code == 0
    assert [row["id"] for row in rows] == [one.id for one in computed]
    assert [row["usd"] for row in rows] == [one.usd for one in computed]
    assert "no run recorded cascades: computed from liquidations" in told.err


def test_every_form_says_the_same(
    unrecorded: Path, computed: Sequence[Cascade], capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    asked = ["history", "--history", str(unrecorded), "--cascades", *_SPAN]
    main([*asked, "--format", "csv"])
    rows = list(csv.DictReader(io.StringIO(capfd.readouterr().out)))
    main([*asked, "--format", "parquet", "--out", str(tmp_path / "c.parquet")])
    table = pq.read_table(tmp_path / "c.parquet")

    assert [row["id"] for row in rows] == table["id"].to_pylist() == [one.id for one in computed]
    assert [float(row["usd"]) for row in rows] == table["usd"].to_pylist()
    assert all(row["begin_iso"].endswith("Z") for row in rows)
    assert rows[-1]["end_ms"] == str(computed[-1].end_ms)


def test_a_table_fits_80_columns(
    unrecorded: Path, computed: Sequence[Cascade], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")

    main(["history", "--history", str(unrecorded), "--cascades", *_SPAN])

    lines = capfd.readouterr().out.splitlines()
    assert len(lines) == len(computed) + 1
    assert max(map(len, lines)) <= 80
    assert {"begin", "of", "side", "USD"} <= set(lines[0].replace("(UTC)", "").split())


def test_recorded_ones_are_told_as_recorded(
    tmp_path: Path, computed: Sequence[Cascade], capfd: pytest.CaptureFixture[str]
) -> None:
    """Of the time before runs recorded them they are computed, and each is told once."""
    since_ms = T0 + 35 * _HOUR_MS
    marked = [msgspec.structs.replace(one, why="as recorded") for one in computed if one.begin_ms >= since_ms]
    store = Store(tmp_path)
    store.write(past(), [FeedUpEntry("bybit", T0), CascadesSinceEntry(since_ms), *map(_entry, marked)])
    store.close()

    main(["history", "--history", str(tmp_path), "--cascades", *_SPAN, "--format", "ndjson"])
    whole = capfd.readouterr()
    main(["history", "--history", str(tmp_path), "--cascades", "--from", str(since_ms), "--to", _SPAN[3]])
    late = capfd.readouterr()

    rows = [json.loads(line) for line in whole.out.splitlines()]
    assert {row["id"] for row in rows if row["why"] == "as recorded"} == {one.id for one in marked}
    assert any(row["why"] != "as recorded" and row["usd"] > 1e6 for row in rows)
    assert "no run recorded cascades before 2026-" in whole.err
    assert late.err == ""
