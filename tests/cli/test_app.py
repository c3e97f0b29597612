"""The command as a user starts it: what goes where, exit codes, signals, pipes."""

import contextlib
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.polling import wait_until

from liqtape import __version__
from liqtape.cli.app import _COMMANDS
from liqtape.recording.recorder import Recorder
from liqtape.recording.records import RunStarted
from liqtape.settings import AlertSettings
from liqtape.venues.base import Endpoint

_FRAME = (
    b'{"e":"forceOrder","E":1791391083124,"o":{"s":"ILVUSDT","S":"SELL","o":"LIMIT","f":"IOC","q":"116.5",'
    b'"p":"3.80300","ap":"3.85642","X":"FILLED","l":"25.2","z":"116.5","T":%d}}\n'
)
_MS = 1791391082119
_ARCHIVE = "ts_ms,venue,symbol,side,price,quantity_base,value_usd"
_COMMAND = (sys.executable, "-m", "liqtape")


def _run(*arguments: str | Path, source: bytes = b"", **env: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*_COMMAND, *arguments], input=source, capture_output=True, timeout=20, check=False, env=os.environ | env
    )


@contextmanager
def _started(*arguments: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [*_COMMAND, *arguments],
        bufsize=0,  # or readline would take what communicate is to return
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _one_line(text: bytes) -> str:
    lines = text.decode().splitlines()
    assert len(lines) == 1, text
    return lines[0]


@pytest.fixture
def events(tmp_path: Path) -> Path:
    path = tmp_path / "events.csv"
    rows = [f"{_MS + 700 * i},bybit,BTCUSDT,{'Long' if i % 3 else 'SHORT'},80000,0.01,{800 + i}" for i in range(50)]
    path.write_text("\n".join([_ARCHIVE, *rows, f"{_MS},bybit,BTCUSDT,up,1,1,1", f"{_MS},okx,A,long,1,1,"]) + "\n")
    return path


def test_version_and_help_are_short() -> None:
    assert _run("--version").stdout.decode() == f"liqtape {__version__}\n"
    shown = _run("--help")
    assert (shown.returncode, shown.stderr) == (0, b"")
    assert {b"normalize", b"replay", b"simulate"} <= set(shown.stdout.split())


def test_bare_it_shows_its_help_on_standard_output() -> None:
    shown, asked = _run(), _run("--help")
    assert (shown.returncode, shown.stdout, shown.stderr) == (0, asked.stdout, b"")


def test_help_has_the_commands_in_order_and_each_its_whole_first_sentence() -> None:
    shown = _run("--help").stdout.decode()
    names = ["demo", "run", "watch", "check", "alert-test", "alert-replay", "init", "history", "record", "replay"]
    names += ["backtest", "train", "score", "frames", "normalize", "simulate", "bench"]
    assert re.findall(r"^  ([a-z-]+)  +[A-Z]", shown.partition("Commands:")[2], re.MULTILINE) == names
    assert "..." not in shown.partition("Commands:")[2]


@pytest.mark.parametrize("name", [command.__name__.replace("_", "-") for command, _ in _COMMANDS])
def test_each_command_shows_an_example_and_readable_names_of_values(name: str) -> None:
    shown = _run(name, "--help", COLUMNS="200").stdout.decode()
    assert f"Example: liqtape {name}" in shown
    assert "-v, --verbose" in shown
    assert not re.search(r"<(list|str|int|float|path)|[{}]|\[\[", shown, re.IGNORECASE)


def test_more_log_may_be_asked_for_before_and_behind_the_command(events: Path) -> None:
    path = str(events)
    for arguments in (["-v", "replay", path], ["replay", "--verbose", path]):
        ended = _run(*arguments)
        assert ended.returncode == 0
        assert re.search(rb"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO liqtape\.", ended.stderr, re.MULTILINE)
    assert b"INFO" not in _run("replay", events).stderr


def test_a_replay_of_which_nothing_is_an_event_says_no(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text(f"{_ARCHIVE}\n{_MS},bybit,BTCUSDT,up,1,1,1\n")
    ended = _run("replay", path)
    assert (ended.returncode, b"1 side" in ended.stderr) == (1, True)
    path.write_text(f"{_ARCHIVE}\n")
    assert _run("replay", path).returncode == 0


def test_a_record_that_reaches_nobody_says_no(tmp_path: Path) -> None:
    env = {
        f"LIQTAPE_VENUES_BYBIT_{kind}_URL": f"{scheme}://127.0.0.1:9"
        for kind, scheme in (("WS", "ws"), ("REST", "http"))
    }
    ended = _run("record", "--venue", "bybit", "--out", tmp_path / "recording", "--seconds", "1", source=b"", **env)
    assert ended.returncode == 1
    assert "no venue sent anything" in _one_line(ended.stderr)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonsense"], "nonsense"),
        (["normalize"], "--venue"),
        (["normalize", "--venue", "kraken"], "binance, bybit"),
        (["normalize", "--venue", "bybit", "--colour"], "--colour"),
        (["normalize", "--venue", "bybit", "no/such/file"], "no/such/file"),
        (["normalize", "--venue", "bybit", "--instruments", "no/such/list"], "no/such/list"),
        (["normalize", "--venue", "bybit", "--instruments", __file__], "--instruments"),
        (["replay"], "PATH"),
        (["replay", "no/such/file.csv"], "no/such/file.csv"),
        (["replay", __file__], ".parquet, .ndjson"),
        (["replay", "{events}", "--every", "0"], "--every"),
        (["replay", "{events}", "--every", "0.5"], "--every"),
        (["replay", "{events}", "--speed", "fast"], "--speed"),
        (["replay", "{events}", "--speed", "0"], "--speed"),
        (["replay", "{events}", "--speed", "nan"], "--speed"),
        (["replay", "{events}", "--coverage", "no/such/up.csv"], "no/such/up.csv"),
        (["replay", "{events}", "--coverage", "{events}"], "no column start_ms and no end_ms"),
        (["replay", "{events}", "--metrics", "rows.txt"], ".ndjson or .parquet"),
        (["replay", "{events}", "--metrics", "no/such/rows.ndjson"], "no/such/rows.ndjson"),
        (["replay", "{events}", "--redis", "http://localhost"], "redis://"),
        (["simulate", "--listen", "80"], "HOST:PORT"),
        (["simulate", "--scenario", "storm"], "cascade"),
        (["simulate", "--faults", "bad"], "duplicate"),
        (["simulate", "--speed", "0"], "speed"),
        (["history", "--format", "xml"], "'table', 'csv', 'ndjson', 'parquet'"),
        (["history", "--by", "side"], "'instrument', 'venue'"),
        (["history", "--tz", "Mars/Olympus"], "Europe/Berlin"),
        (["demo", "--scenario", "storm"], "'calm', 'cascade', 'block', 'faults'"),
        (["frames", "no/such/recording"], "no/such/recording"),
        (["init", "--out", "{events}"], "is there already"),
        (["simulate", "--levels", "no/such/levels.json"], "no/such/levels.json"),
        (["run", "--levels", "no/such/levels.json"], "no/such/levels.json"),
        (["run", "--levels", "{events}", "--history", "off"], "simulate --levels"),
    ],
    ids=lambda value: " ".join(Path(part).name for part in value) if isinstance(value, list) else "",
)
def test_what_cannot_be_done_is_one_line_and_exit_2(events: Path, arguments: list[str], said: str) -> None:
    ended = _run(*(str(events) if part == "{events}" else part for part in arguments))
    assert (ended.returncode, ended.stdout) == (2, b"")
    assert said in _one_line(ended.stderr)
    assert ended.stderr.startswith(b"liqtape")


def test_frames_become_lines_on_stdout_and_a_summary_on_stderr(tmp_path: Path) -> None:
    frames = _FRAME % _MS + b"\r\n\r\n" + _FRAME % _MS + b"\xff\x00\n" + (_FRAME % (_MS - 60_000)).rstrip()
    (tmp_path / "frames.jsonl").write_bytes(frames)
    from_file = _run("normalize", "--venue", "binance", tmp_path / "frames.jsonl")
    assert from_file.returncode == 0
    assert [json.loads(line)["event_ms"] for line in from_file.stdout.splitlines()] == [_MS, _MS - 60_000]
    *_, summary = from_file.stderr.decode().splitlines()
    assert summary == (
        "liqtape normalize: frames (liquidation 3, other topic 0, control 0, undecodable 1), events 2, duplicates 1, "
        "invalid 0, unsized 0"
    )
    for arguments in ([], ["-"]):
        assert _run("normalize", "--venue", "binance", *arguments, source=frames).stdout == from_file.stdout


def test_strict_says_no_to_an_undecodable_frame() -> None:
    for source, code in ((b"pong\n", 1), (_FRAME % _MS, 0), (b"", 0)):
        ended = _run("normalize", "--venue", "binance", "--strict", source=source)
        assert ended.returncode == code
    assert _run("normalize", "--venue", "binance", source=b"pong\n").returncode == 0


def test_the_summary_of_normalize_can_be_json_beside_the_events() -> None:
    ended = _run("normalize", "--venue", "binance", "--json", source=_FRAME % _MS)
    assert json.loads(_one_line(ended.stderr))["frames"]["liquidation"] == 1
    assert json.loads(_one_line(ended.stdout))["instrument"] == "ILVUSDT"


def test_the_venues_list_goes_over_the_bundled_table(tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text('{"symbols": [{"symbol": "BTCUSD_PERP", "contractSize": 200}]}')
    frame = (_FRAME % _MS).replace(b"ILVUSDT", b"BTCUSD_PERP")
    plain = _run("normalize", "--venue", "binance", source=frame)
    listed = _run("normalize", "--venue", "binance", "--instruments", tmp_path / "list.json", source=frame)
    assert [json.loads(run.stdout)["notional_usd"] for run in (plain, listed)] == [11_650.0, 23_300.0]


def test_a_reader_that_has_enough_ends_it_quietly() -> None:
    with _started("normalize", "--venue", "binance") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        for i in range(200):  # more than a buffer, less than a pipe holds
            process.stdin.write(_FRAME % (_MS + i))
        process.stdin.flush()
        process.stdout.readline()
        process.stdout.close()
        with suppress(BrokenPipeError):
            process.stdin.write(b"".join(_FRAME % (_MS - i) for i in range(1, 1_000)))
        with suppress(BrokenPipeError):
            process.stdin.close()
        assert (process.wait(10), process.stderr.read()) == (0, b"")


def test_a_full_disk_is_one_line_and_exit_1() -> None:
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [*_COMMAND, "normalize", "--venue", "binance", "-"],
            input=_FRAME % _MS,
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=20,
            check=False,
        )
    assert ended.returncode == 1
    assert "space" in _one_line(ended.stderr)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_normalize_with_all_lines_and_the_summary_out(number: signal.Signals) -> None:
    with _started("normalize", "--venue", "binance") as process:
        assert process.stdin is not None
        process.stdin.write(b"".join(_FRAME % (_MS + i) for i in range(200)))
        process.stdin.flush()
        assert process.stdout is not None
        first = process.stdout.readline()  # more than a buffer is written: it reads and waits for more
        process.send_signal(number)
        rest, errors = process.communicate(timeout=10)
    assert process.returncode == 128 + number
    lines = (first + rest).splitlines()
    assert all(json.loads(line)["schema"] == 1 for line in lines)
    assert f"events {len(lines)}," in _one_line(errors)


def test_a_replay_counts_every_row_and_is_the_same_each_time(events: Path, tmp_path: Path) -> None:
    runs = [_run("replay", events, "--every", "2", "--metrics", tmp_path / name) for name in ("a.ndjson", "b.ndjson")]
    assert {(run.returncode, run.stdout) for run in runs} == {(0, b"")}
    rows = (tmp_path / "a.ndjson").read_bytes()
    assert runs[0].stderr.decode().splitlines() == [
        "replay:",
        "  rows                   52",
        "  events                 51",
        "  duplicates             0",
        "  unsized                1",
        "  rejected               1 side",
        f"  metric rows            {rows.count(b'symbol'):,}",
    ]
    assert rows == (tmp_path / "b.ndjson").read_bytes()
    assert rows.count(b"symbol") > 300


def test_the_same_replay_gives_the_same_parquet_file(events: Path, tmp_path: Path) -> None:
    for name, seed in (("a.parquet", "1"), ("b.parquet", "2")):
        assert _run("replay", events, "--metrics", tmp_path / name, PYTHONHASHSEED=seed).returncode == 0
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_a_replay_is_told_when_its_feeds_were_up(events: Path, tmp_path: Path) -> None:
    coverage = tmp_path / "up.csv"
    coverage.write_text(f"start_ms,end_ms\n{_MS - 1000},{_MS + 20_000}\n")
    found = []
    for name, options in (("plain", ()), ("told", ("--coverage", coverage))):
        path = tmp_path / f"{name}.ndjson"
        assert _run("replay", events, "--metrics", path, *options).returncode == 0
        found.append([json.loads(line) for line in path.read_text().splitlines()])
    plain, told = found
    assert len(plain) == len(told)
    for ours, others in zip(plain, told, strict=True):
        assert (ours["coverage_10s"], ours["event_count_300s"]) == (None, others["event_count_300s"])
    assert {row["coverage_10s"] for row in told} > {0.0, 1.0}
    # Watched time stands still when nobody watches.
    assert told[-1]["watched_days"] == pytest.approx(20 / 86_400, rel=0.1)
    assert plain[-1]["watched_days"] > 0.9 * 35 / 86_400


def test_the_levels_of_a_replay_are_by_the_users_settings(events: Path, tmp_path: Path) -> None:
    levels = []
    for rule in ("return_period", "threshold"):
        path = tmp_path / f"{rule}.ndjson"
        done = _run("replay", events, "--metrics", path, LIQTAPE_ALERTS_RULE=rule, LIQTAPE_ALERTS_VELOCITY_10S="1")
        assert done.returncode == 0
        levels.append({json.loads(line)["level"] for line in path.read_text().splitlines()})
    assert "ALERT" in levels[1]
    assert levels[1] == {"NONE", "ALERT"} != levels[0]


def test_a_replay_sizes_contracts_by_the_venues_list(tmp_path: Path) -> None:
    header = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount"
    (tmp_path / "a.csv").write_text(f"{header}\nokex-swap,SOL-USDT-SWAP,{_MS}000,{_MS}000,,sell,200,7\n")
    row = (
        '{"instType":"SWAP","instId":"SOL-USDT-SWAP","ctVal":"1","ctMult":"1","ctValCcy":"SOL",'
        '"ctType":"linear","settleCcy":"USDT","state":"live"}'
    )
    (tmp_path / "list.json").write_text(f'\ufeff{{"code":"0","msg":"","data":[{row}]}}')
    plain = _run("replay", tmp_path / "a.csv", "--json")
    listed = _run(
        "replay",
        tmp_path / "a.csv",
        "--json",
        "--instruments",
        tmp_path / "list.json",
        "--metrics",
        tmp_path / "m.ndjson",
    )
    assert [json.loads(run.stdout)["unsized"] for run in (plain, listed)] == [1, 0], listed.stderr
    first = json.loads((tmp_path / "m.ndjson").read_text().splitlines()[0])
    assert (first["symbol"], first["total_value_usd"]) == ("SOLUSDT", 1_400.0)


def test_a_replay_ends_with_one_json_object_if_asked(events: Path) -> None:
    ended = _run("replay", events, "--json")
    summary = json.loads(_one_line(ended.stdout))
    assert ended.stderr == b""
    assert summary.pop("metric_rows") > 0
    assert summary == {"rows": 52, "events": 51, "duplicates": 0, "unsized": 1, "rejected": {"side": 1}}


def test_what_normalize_writes_replay_reads(tmp_path: Path) -> None:
    source = b"".join(_FRAME % (_MS + 1_000 * i) for i in range(20))
    (tmp_path / "a.ndjson").write_bytes(_run("normalize", "--venue", "binance", source=source).stdout)
    ended = _run("replay", tmp_path, "--json", "--every", "60")
    assert json.loads(ended.stdout)["events"] == 20


def test_the_input_is_never_overwritten(events: Path) -> None:
    own = events.with_suffix(".ndjson")
    own.write_bytes(_run("normalize", "--venue", "binance", source=_FRAME % _MS).stdout)
    before = own.read_bytes()
    for path in (own, own.parent):
        ended = _run("replay", path, "--metrics", own)
        assert (ended.returncode, own.read_bytes()) == (2, before)
        assert "--metrics" in _one_line(ended.stderr)


def test_parquet_without_its_library_is_one_line_naming_the_extra(events: Path, tmp_path: Path) -> None:
    (tmp_path / "pyarrow.py").write_text("raise ImportError('blocked')")
    ended = _run("replay", events, "--metrics", tmp_path / "rows.parquet", PYTHONPATH=str(tmp_path))
    assert ended.returncode == 2
    assert "liqtape[analysis]" in _one_line(ended.stderr)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_slow_replay_with_its_rows_in_the_file(
    events: Path, tmp_path: Path, number: signal.Signals
) -> None:
    rows = tmp_path / "rows.ndjson"
    with _started("replay", events, "--speed", "1", "--metrics", rows, "--json") as process:
        wait_until(lambda: rows.exists() and rows.stat().st_size > 0)
        process.send_signal(number)
        out, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (128 + number, b"")
    assert json.loads(out)["rows"] == 52
    assert all(json.loads(line)["symbol"] for line in rows.read_bytes().splitlines())


def test_a_replay_reaches_redis(events: Path, require_server: Callable[[str], Path], tmp_path: Path) -> None:
    from redis import Redis

    program = require_server("redis-server")
    unix = tmp_path / "redis.sock"
    options = ["--port", "0", "--unixsocket", str(unix), "--save", "", "--dir", str(tmp_path)]
    with subprocess.Popen([program, *options], stdout=subprocess.DEVNULL) as server:
        try:
            wait_until(unix.exists)
            ended = _run("replay", events, "--redis", f"unix://{unix}?db=1", "--json")
            assert (ended.returncode, ended.stderr) == (0, b"")
            with Redis(unix_socket_path=str(unix), db=1, decode_responses=True) as client:
                assert client.hget("velocity:BTCUSDT:current", "event_count_300s") == "0"
                newest = json.loads(str(client.lindex("cascade:events:buffer", 0)))
                assert (newest["instrument"], newest["notional_usd"]) == ("BTCUSDT", 849.0)
                assert client.llen("cascade:events:buffer") == 51
        finally:
            server.terminate()


def test_a_replay_that_reaches_no_redis_still_writes_its_rows_and_says_no(events: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:  # bound, not listening: nobody else gets the port, and it refuses
        taken.bind(("127.0.0.1", 0))
        url = f"redis://127.0.0.1:{taken.getsockname()[1]}"
        ended = _run("replay", events, "--redis", url, "--metrics", tmp_path / "rows.ndjson")
    assert ended.returncode == 1
    assert (tmp_path / "rows.ndjson").stat().st_size > 0
    assert b"nothing could be written" in ended.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_simulator_tells_its_addresses_and_ends_with_its_ledger(number: signal.Signals) -> None:
    with _started("simulate", "--json") as process:
        assert process.stderr is not None
        address = process.stderr.readline().decode()
        venue, websocket, rest = address.split()
        assert re.fullmatch(r"ws://127\.0\.0\.1:\d+/binance", websocket)
        with urllib.request.urlopen(f"{rest}/fapi/v1/exchangeInfo", timeout=5) as answer:
            assert json.load(answer)["symbols"]
        process.send_signal(number)
        out, _ = process.communicate(timeout=10)
    assert (venue, process.returncode) == ("binance", 128 + number)
    assert json.loads(out) == {}  # nobody connected


async def test_the_simulators_ledger_counts_what_a_client_got() -> None:
    from websockets.asyncio.client import connect

    with _started("simulate", "--scenario", "block", "--speed", "50") as process:
        assert process.stdout is not None
        addresses = dict(process.stdout.readline().decode().split()[:2] for _ in range(2))
        async with connect(f"{addresses['bybit']}/v5/public/linear", proxy=None) as client:
            await client.send('{"op":"subscribe","args":["allLiquidation.BTCUSDT"]}')
            frames = [json.loads(await client.recv())]
            while sum(len(frame.get("data", ())) for frame in frames) < 11_279:
                frames.append(json.loads(await client.recv()))
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (143, b"")
    said = out.decode().replace(",\n", ", ").replace(",", "")
    told = re.search(
        r"simulate:.*  bybit +1 connections .* (\d+)\s+frames\s+liquidation .* (\d+)\s+liquidations ", said, re.DOTALL
    )
    assert told is not None, said
    rows = sum(len(frame.get("data", ())) for frame in frames)
    assert int(told[2]) >= rows >= 11_279
    assert int(told[1]) >= sum("data" in frame for frame in frames)


def test_a_service_of_simulated_venues_begins_with_what_their_days_teach(tmp_path: Path) -> None:
    file = tmp_path / "levels.json"
    with _started("simulate", "--scenario", "cascade", "--speed", "3", "--levels", file) as venues:
        assert venues.stdout is not None
        assert venues.stderr is not None
        told = venues.stderr.readline().decode()
        assert told == f"levels learned from 10 simulated days: liqtape run --levels {file}\n"
        env: dict[str, str] = {}
        for _ in range(4):
            venue, websocket, rest = venues.stdout.readline().decode().split()
            env |= {f"LIQTAPE_VENUES_{venue.upper()}_WS_URL": websocket}
            env |= {f"LIQTAPE_VENUES_{venue.upper()}_REST_URL": rest}
        env["LIQTAPE_PRICE_SPOT_URL"] = env["LIQTAPE_VENUES_BINANCE_WS_URL"]
        command = [*_COMMAND, "run", "--levels", str(file), "--redis", "off", "--history", "off"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | env) as service:
            try:
                assert service.stdout is not None
                lines: list[str] = []
                while not lines or "Z alert MARKET" not in lines[-1]:
                    lines.append(service.stdout.readline())
                    assert lines[-1], lines
            finally:
                service.kill()
    assert "levels learned from 10 simulated days\n" in lines


def test_a_port_that_is_taken_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = _run("simulate", "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
    assert ended.returncode in (1, 2)
    assert "in use" in _one_line(ended.stderr)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    recorder = Recorder(tmp_path / "recording")
    recorder.open(RunStarted("0", [], {"binance": []}, AlertSettings(), price_always=False))
    track = recorder.track("binance", Endpoint("wss://example", ("!forceOrder@arr",), 30.0))
    for number in range(5):  # longer than events wait for the clocks of venues
        event_ms = _MS + 2_000 * number
        track.received((_FRAME % event_ms,), 1_000_000 * (event_ms + 300))
    recorder.close()
    return tmp_path / "recording"


def test_a_recording_goes_to_metrics_and_history_with_its_ledger(recording: Path, tmp_path: Path) -> None:
    for number in (1, 2):
        metrics, history = tmp_path / f"{number}.ndjson", tmp_path / f"history{number}"
        done = _run("replay", recording, "--metrics", metrics, "--history", history, "--json")
        assert (done.returncode, done.stderr) == (0, b"")
        summary = json.loads(done.stdout)
        assert {"frames": 5, "events": 5, "runs": 1, "lost_frames": 0, "broken": 0}.items() <= summary.items()
        assert summary["ledger"]["events_accepted"] == 5
        with contextlib.closing(sqlite3.connect(next(history.glob("*.sqlite*")))) as log:
            assert log.execute("SELECT count(*), min(event_ms) FROM unsealed_events").fetchone() == (5, _MS)
    assert (tmp_path / "1.ndjson").read_bytes() == (tmp_path / "2.ndjson").read_bytes()
    assert summary["metric_rows"] == len((tmp_path / "1.ndjson").read_text().splitlines()) > 300


def test_a_recording_says_itself_when_its_feeds_were_up(recording: Path, tmp_path: Path) -> None:
    done = _run("replay", recording, "--coverage", tmp_path / "up.csv")

    assert done.returncode == 2
    assert "a recording says itself when its feeds were up" in _one_line(done.stderr)


def test_a_cut_recording_is_played_and_the_cut_is_told(recording: Path) -> None:
    segment = recording / "000001.liqrec"
    segment.write_bytes(segment.read_bytes()[:-20])
    done = _run("replay", recording, "--json")
    assert done.returncode == 0
    assert f"liqtape replay: {segment}: cut at byte " in _one_line(done.stderr)
    assert json.loads(done.stdout)["broken"] == 1


def test_a_recording_that_cannot_be_begun_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    done = _run("record", "--out", tmp_path / "file", "--venue", "bybit")
    assert done.returncode == 2
    assert re.fullmatch(r"liqtape: record: .*file: .*", _one_line(done.stderr))
