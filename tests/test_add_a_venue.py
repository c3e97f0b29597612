"""The guide "Adding a venue" of CONTRIBUTING.md, followed in a copy of the checkout with a venue that does not exist.

What the guide does not name is not touched, so a test that fails in the copy means that adding a venue takes a step
more than the guide says. The venue's files are in `tests/toyex`.
"""

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

if TYPE_CHECKING:
    from tests.toyex import toyex

    from liqtape.venues.base import Venue

    _TOYEX: Venue = toyex  # that the module satisfies the protocol mypy says, as it will at the venue's own line

_CHECKOUT = Path(__file__).resolve().parents[1]
_TOY = _CHECKOUT / "tests" / "toyex"
_COPIED = ("src", "tests", "docs", "chaos", "benchmarks", "examples", "cex", "dex", "shared")
_OTHERS = "not (binance or bybit or okx or hyperliquid)"  # their own cases are run in the checkout
_BOUND_SECONDS = 300.0

# Tests that look at the registered venues, whichever these are; those of simulated venues are there to be undisturbed.
_JUDGES = {
    "conformance": ("tests/test_conformance.py", "tests/venues/test_limits.py", "tests/venues/test_toyex.py"),
    "documentation": ("tests/test_docs.py", "tests/test_unique_names.py"),
    "settings": ("tests/test_settings.py",),
    "frames and lists": ("tests/eventfiles/test_normalize_files.py", "tests/test_replays.py", "tests/test_assets.py"),
    "check": ("tests/cli/test_check.py::test_all_passes_against_the_simulated_venues",
              "tests/cli/test_check.py::test_bad_configuration_is_one_line_and_exit_2"),
    "simulated venues": ("tests/test_tracker.py::test_a_tracker_shows_its_venues_and_sinks",
                         "tests/test_tracker.py::test_all_simulated_venues_over_real_sockets_arrive_whole",
                         "tests/cli/test_warmstart.py::test_every_stream_of_the_simulated_venues_has_learned",
                         "tests/chaos/test_fuzz.py"),
}  # fmt: skip


def _put(text: str, after: str, path: Path) -> None:
    """Insert a text behind the first place that matches."""
    whole = path.read_text(encoding="utf-8")
    found = re.search(after, whole, re.MULTILINE)
    assert found, (path, after)
    path.write_text(whole[: found.end()] + text + whole[found.end() :], encoding="utf-8")


def _follow_the_guide(root: Path) -> None:
    """Take the steps of the guide, but for the first, which is research."""
    shutil.copytree(_TOY / "fixtures", root / "tests/fixtures/toyex")  # 2
    shutil.copy(_TOY / "toyex.py", root / "src/liqtape/venues/toyex.py")  # 3
    registry = root / "src/liqtape/venues/__init__.py"  # 4
    _put(", toyex", r"^from liqtape\.venues import .*$", registry)
    _put("    toyex.name: toyex,\n", r"^VENUES.* = \{\n(    .*\n)+", registry)
    shutil.copy(_TOY / "toyex_table.py", root / "tests/venues/test_toyex.py")  # 5
    _put("Toyex, ", "listens to .* of ", root / "README.md")  # 6
    row = "| `toyex` | connected | one liquidation a symbol and second | `toyex` | no |\n"
    _put(row, r"^(\| `.*\n)+", root / "docs/reference/venues.md")
    _put("- The venue Toyex.\n", "### Added\n\n", root / "CHANGELOG.md")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout to which the venue was added."""
    root = tmp_path_factory.mktemp("copy") / "checkout"
    root.mkdir()
    for name in _COPIED:
        shutil.copytree(_CHECKOUT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (path for path in _CHECKOUT.iterdir() if path.is_file()):
        shutil.copy(path, root)
    _follow_the_guide(root)
    return root


def _environment(copy: Path, **env: str) -> dict[str, str]:
    """Return an environment in which the code of the copy stands before the checkout's."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LIQTAPE_")}
    paths = os.pathsep.join([str(copy / "src"), str(copy)])
    return inherited | {"PYTHONPATH": paths, "NO_COLOR": "1", "COLUMNS": "200"} | env


def _run(copy: Path, *arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the copy, with its code."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=copy,
        env=_environment(copy, **env),
        capture_output=True,
        text=True,
        timeout=_BOUND_SECONDS,
        check=False,
    )


@pytest.mark.parametrize("group", _JUDGES)
def test_the_tests_pass_with_the_new_venue(copy: Path, group: str, tmp_path: Path) -> None:
    options = ["-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'inner'}", "-k", _OTHERS]

    ended = _run(copy, "-m", "pytest", *options, *_JUDGES[group])

    assert ended.returncode == 0, ended.stdout[-8_000:] + ended.stderr
    assert re.search(r"^[1-9]\d* passed", ended.stdout.splitlines()[-1]), ended.stdout


def test_the_import_rules_hold(copy: Path) -> None:
    program = shutil.which("lint-imports", path=str(Path(sys.executable).parent)) or "lint-imports"

    ended = _run(copy, program, "--no-cache", "--no-logo")

    assert ended.returncode == 0, ended.stdout


def test_the_guide_names_every_file_that_is_touched(copy: Path) -> None:
    text = (_CHECKOUT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    guide = text[text.index("## Adding a venue") : text.index("That is all.")]
    touched = {
        str(path.relative_to(copy)).replace("toyex", "<venue>")
        for path in copy.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and ".hypothesis" not in path.parts
        if not _is_as_it_was(_CHECKOUT / path.relative_to(copy), path)
    }

    assert len(touched) == 11
    for name in touched:
        assert f"`{name}`" in guide or f"`{Path(name).parent}/`" in guide, name


def _is_as_it_was(before: Path, after: Path) -> bool:
    return before.is_file() and before.read_bytes() == after.read_bytes()


class ToyexServer:
    """The venue on loopback, as far as the commands ask it: one port for its stream and its list of instruments."""

    def __init__(self, listed: bytes, frame: bytes) -> None:
        self._listed, self._frame = listed, frame
        self.printed = 0
        self._server: Server = serve(self._talk, "127.0.0.1", 0, process_request=self._list)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        port = self._server.socket.getsockname()[1]
        self.addresses = {
            "LIQTAPE_VENUES_TOYEX_WS_URL": f"ws://127.0.0.1:{port}",
            "LIQTAPE_VENUES_TOYEX_REST_URL": f"http://127.0.0.1:{port}",
        }

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join(_BOUND_SECONDS)

    def _list(self, _: ServerConnection, request: Request) -> Response | None:
        if request.path != "/v1/contracts":
            return None
        head = Headers({"Content-Length": str(len(self._listed)), "Connection": "close"})
        return Response(200, "OK", head, self._listed)

    def _talk(self, connection: ServerConnection) -> None:
        """Acknowledge, then a trade and, once a second, a liquidation of this moment, again and again."""
        for message in connection:
            asked = json.loads(message)
            if asked["method"] == "ping":
                connection.send('{"pong":true}')
                continue
            connection.send(json.dumps({"id": asked["id"], "ok": True}))
            threading.Thread(target=self._print, args=(connection,), daemon=True).start()

    def _print(self, connection: ServerConnection) -> None:
        for number in itertools.count():
            now_ms = time.time_ns() // 1_000_000
            row = {"symbol": "BTC-USDT", "price": "80000.5", "size": "0.01", "time": now_ms}
            try:
                connection.send(json.dumps({"channel": "trades.BTC-USDT", "rows": [row]}))
                if number % 10 == 0:
                    connection.send(self._frame.replace(b"1790000000000", str(now_ms).encode()).decode())
                    self.printed += 1
            except ConnectionClosed:
                return
            time.sleep(0.1)


@pytest.fixture
def server() -> Iterator[ToyexServer]:
    frames = (_TOY / "fixtures" / "liquidations.jsonl").read_bytes().splitlines()
    made = ToyexServer((_TOY / "fixtures" / "contracts.json").read_bytes(), frames[0])
    yield made
    made.close()


def test_check_tries_the_new_venue_and_it_passes(copy: Path, server: ToyexServer) -> None:
    known = _run(copy, "-c", "from liqtape.venues import VENUES; print(*VENUES)").stdout.split()
    off = {f"LIQTAPE_VENUES_{name.upper()}_ENABLED": "false" for name in known if name != "toyex"}

    ended = _run(copy, "-m", "liqtape", "check", "--json", **off, **server.addresses, LIQTAPE_REDIS_URL="off")

    found: dict[str, Any] = {one["subject"]: one for one in json.loads(ended.stdout)["checks"]}
    assert known[-1] == "toyex"
    assert (found["toyex"]["ok"], found["toyex"]["stage"]) == (True, "first data"), ended.stdout
    assert found["toyex instruments"]["detail"] == "3 instruments listed"
    assert found["bybit"]["stage"] == "configuration"


def test_commands_take_its_name_and_refuse_others(copy: Path) -> None:
    for command in ("run", "record", "normalize"):
        assert "toyex" in _run(copy, "-m", "liqtape", command, "--help").stdout
    assert "hyperliquid" not in _run(copy, "-m", "liqtape", "history", "--help").stdout  # it names none of them
    refused = _run(copy, "-m", "liqtape", "run", "--venue", "toyexx")

    assert refused.returncode == 2
    assert "'toyexx' is not one of binance, bybit, okx, hyperliquid, toyex." in refused.stderr


def test_record_and_replay_bring_its_liquidations(copy: Path, server: ToyexServer, tmp_path: Path) -> None:
    to, rows = tmp_path / "recording", tmp_path / "rows.ndjson"
    command = [sys.executable, "-m", "liqtape", "record", "--out", str(to), "--venue", "toyex", "--json"]
    with subprocess.Popen(command, cwd=copy, env=_environment(copy, **server.addresses)) as recording:
        deadline = time.monotonic() + _BOUND_SECONDS
        while server.printed < 3 and recording.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        recording.send_signal(signal.SIGINT)
        recorded = recording.wait(_BOUND_SECONDS)
    replayed = _run(copy, "-m", "liqtape", "replay", to, "--metrics", rows)

    assert (recorded, replayed.returncode) == (130, 0), replayed.stderr
    made = [json.loads(line) for line in rows.read_text(encoding="utf-8").splitlines()]
    newest = [row for row in made if row["event_count_10s"]][-1]  # the last row is the one of zeros
    assert (newest["symbol"], newest["btc_source"]) == ("BTCUSDT", "toyex")
    assert newest["velocity_est_10s"] > newest["velocity_10s"]  # throttled, as its module says
