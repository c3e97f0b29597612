"""Every command in an environment of the bare wheel: what it needs and no extra; each extra's absence is one line."""

import os
import subprocess
import sys
import time
import venv
import zipfile
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from liqtape.cli.app import _COMMANDS
from liqtape.events import Liquidation
from liqtape.history.log.journal import AliveEntry, FeedUpEntry
from liqtape.history.log.store import Store

_CHECKOUT = Path(__file__).resolve().parents[1]
_MINUTE_MS = 60_000
_OF_EXTRAS = ("apprise", "asyncpg", "duckdb", "matplotlib", "numpy", "pyarrow", "sklearn", "textual")

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the wheel and what its base needs, taken from this one."""
    folder = tmp_path_factory.mktemp("bare")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=_CHECKOUT, check=True, capture_output=True)
    site = folder / "site"
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(site)
    (info,) = site.glob("liqtape-*.dist-info")
    told = [
        line.partition(": ")[2]
        for line in (info / "METADATA").read_text().splitlines()
        if line.startswith("Requires-Dist")
    ]
    for name in _closure(told):
        _link(name, site)
    environment = folder / "environment"
    venv.create(environment, symlinks=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "bare.pth").write_text(f"{site}\n")
    return environment / "bin" / "python"


def _closure(requirements: list[str], extra: str = "") -> set[str]:
    """The distributions that these need here."""
    found: set[str] = set()
    for requirement in map(Requirement, requirements):
        name = canonicalize_name(requirement.name)
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            found.add(name)
            for needed in ("", *requirement.extras):
                found |= _closure(distribution(name).requires or [], needed)
    return found


def _link(name: str, site: Path) -> None:
    dist = distribution(name)
    for top in {file.parts[0] for file in dist.files or () if file.parts[0] not in {"..", "__pycache__"}}:
        target = site / top
        if not target.exists():
            target.symlink_to(Path(str(dist.locate_file(top))))


@pytest.fixture
def run(bare: Path, tmp_path: Path) -> Run:
    """`run("history", ...)`: the command there, in the test's directory and with its data below it."""

    def command(*arguments: str | Path, code: str = "") -> subprocess.CompletedProcess[str]:
        unset = {name for name in os.environ if name.startswith(("LIQTAPE_", "PYTHON", "COVERAGE_"))}
        env = {name: value for name, value in os.environ.items() if name not in unset}
        env |= {"XDG_DATA_HOME": str(tmp_path / "data"), "MPLBACKEND": "agg"}
        program = ["-c", code] if code else ["-m", "liqtape", *map(str, arguments)]
        return subprocess.run(
            [bare, *program], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120, check=False
        )

    return command


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """A history of the last ten minutes, none of it sealed."""
    now_ms = time.time_ns() // 1_000_000
    events = [
        Liquidation("bybit", "BTCUSDT", "BTCUSDT", "long", 60_000.0, "fill", 0.1, 6_000.0, at_ms, at_ms, str(at_ms))
        for at_ms in range(now_ms - 10 * _MINUTE_MS, now_ms, 10_000)
    ]
    directory = tmp_path / "data" / "liqtape" / "history"
    directory.mkdir(parents=True)
    store = Store(directory)
    store.write(events, [FeedUpEntry("bybit", now_ms - 10 * _MINUTE_MS), AliveEntry(now_ms)])
    store.close()
    return directory


def test_no_extra_is_there(run: Run) -> None:
    code = f"import importlib.util as u; print([m for m in {_OF_EXTRAS!r} if u.find_spec(m)])"
    assert run(code=code).stdout == "[]\n"


@pytest.mark.parametrize("name", [command.__name__.replace("_", "-") for command, _ in _COMMANDS])
def test_every_command_shows_its_help(run: Run, name: str) -> None:
    shown = run(name, "--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert f"Usage: liqtape {name}" in shown.stdout


def test_the_demo_proves_itself(run: Run) -> None:
    ended = run("demo", "--seconds", "2")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "differences            0" in ended.stdout


def test_init_normalize_replay_and_frames(run: Run, tmp_path: Path) -> None:
    assert run("init", "--schema").returncode == 0
    fixture = next((_CHECKOUT / "tests" / "fixtures" / "bybit").glob("*.json*"))
    lines = run("normalize", "--venue", "bybit", fixture)
    assert lines.returncode == 0, lines.stderr
    (tmp_path / "events.ndjson").write_text(
        '{"schema":1,"venue":"bybit","instrument":"BTCUSDT","symbol":"BTCUSDT","side":"long","price":8e4,'
        '"price_kind":"fill","quantity":0.1,"notional_usd":8000,"event_ms":1791091286156,"receive_ms":null,"id":"a"}\n'
    )
    assert run("replay", "events.ndjson", "--metrics", "rows.ndjson").returncode == 0
    assert run("record", "--venue", "bybit", "--out", "recording", "--seconds", "0.2").returncode == 1
    assert run("frames", "recording").returncode == 0


def test_past_days_are_judged_without_an_extra(run: Run, recorded: Path, tmp_path: Path) -> None:
    rows = [f"{1_791_091_286_156 + 5_000 * i},bybit,BTCUSDT,BTCUSDT,long,8e4,0.1,8000" for i in range(60)]
    head = "event_ms,venue,instrument,symbol,side,price,quantity,notional_usd"
    (tmp_path / "tape.csv").write_text("\n".join([head, *rows]) + "\n")
    for path in ("tape.csv", recorded):
        judged = run("backtest", path, "--report", "found.html", "--json")
        assert (judged.returncode, judged.stderr) == (0, "")
        assert "liqtape[ml]" in judged.stdout
        assert (tmp_path / "found.json").read_text() == judged.stdout
    (tmp_path / "forecasts-00000001.ndjson").write_text("")
    assert run("score", tmp_path).returncode == 1


@pytest.mark.usefixtures("recorded")
@pytest.mark.parametrize(
    "arguments",
    [[], ["--every", "60"], ["--symbol", "btc"], ["--by", "venue"], ["--events"], ["--gaps"]],
    ids=" ".join,
)
@pytest.mark.parametrize("form", ["table", "csv", "ndjson"])
def test_history_works_without_its_extra(run: Run, arguments: list[str], form: str) -> None:
    ended = run("history", *arguments, "--format", form)
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout or arguments == ["--gaps"]


@pytest.mark.usefixtures("recorded")
@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (["history", "--format", "parquet", "--out", "a.parquet"], "analysis"),
        (["history", "--plot", "a.png"], "analysis"),
        (["history", "--unusual"], "analysis"),
        (["history", "--history", "postgresql://127.0.0.1:9/x"], "analysis"),
        (["replay", "events.parquet"], "analysis"),
        (["train", "events.ndjson", "--out", "model.json"], "ml"),
        (["replay", "events.ndjson", "--metrics", "rows.parquet"], "analysis"),
        (["run", "--history", "postgresql://127.0.0.1:9/x", "--redis", "off"], "postgres"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_what_needs_an_extra_names_it_in_one_line(run: Run, tmp_path: Path, arguments: list[str], extra: str) -> None:
    (tmp_path / "events.parquet").write_bytes(b"PAR1")
    (tmp_path / "events.ndjson").write_text("")
    ended = run(*arguments)
    assert (ended.returncode, ended.stdout) == (2, ""), ended.stderr
    assert ended.stderr.count("\n") == 1, ended.stderr
    assert f"pip install 'liqtape[{extra}]'" in ended.stderr


def test_sealed_hours_need_the_extra_and_say_so(run: Run, recorded: Path) -> None:
    import sqlite3

    with sqlite3.connect(recorded / "log.sqlite") as log:
        log.execute("INSERT INTO partitions VALUES ('x', 'events', 'd', 'bybit', 1, 2, 0, 9e15, 2, 3, 'y')")
    log.close()
    ended = run("history")
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert "sealed" in ended.stderr
    assert "liqtape[analysis]" in ended.stderr
