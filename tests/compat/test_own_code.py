"""A user's own package over an installed wheel: only the two are importable, nothing of the checkout."""

import json
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

_PROGRAM = Path(__file__).parents[1] / "fixtures" / "user_program.py"
_TOTAL = 800


def _run(wheel: Path, package: Path, *command: str, seconds: float = 18) -> subprocess.CompletedProcess[str]:
    """A program that finds the wheel, the user's package and the libraries; `-S`: no .pth file adds the checkout."""
    libraries = sysconfig.get_path("purelib")
    path = os.pathsep.join(map(str, (package, wheel, libraries)))
    return subprocess.run(
        [sys.executable, "-S", *command],
        cwd=package,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def _told(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    rarity: dict[str, Any] = json.loads(done.stdout)
    return rarity


@pytest.mark.parametrize(
    "callback",
    ["behaves", "raises", "raises_async", "pauses", "pauses_30_s", "pauses_30_s_sync", "hangs"],
)
def test_the_users_classes_events_and_metrics(callback: str, wheel: Path, user_package: Path, redis_port: int) -> None:
    rarity = _told(_run(wheel, user_package, str(_PROGRAM), callback, str(redis_port)))

    is_blocked = callback in {"hangs", "pauses_30_s", "pauses_30_s_sync"}
    assert rarity["classes"] == ["cex.cex_exchanges", "dex.hyperliquid_liquidation_provider"]
    assert rarity["package"] == str(wheel / "liqtape" / "__init__.py")
    assert rarity["module"] == str(wheel / "enhanced_websocket_manager.py")
    assert (rarity["processed"], rarity["stream errors"]) == (_TOTAL, {})
    assert (rarity["strangers"], rarity["twice"], rarity["in order"]) == (0, 0, True)
    assert rarity["seen"] == (1 if is_blocked else _TOTAL)
    before, after = rarity["callback"], rarity["after"]
    assert (before["called"] + before["waiting"], before["dropped"]) == (_TOTAL, 0)
    assert (after["called"] + after["dropped"], after["waiting"]) == (_TOTAL, 0)
    for ours, recounted in (*rarity["metrics"], *rarity["rows"]):
        assert ours == recounted
    assert (rarity["ledger"]["events_accepted"], rarity["ledger"]["events_duplicate"]) == (_TOTAL, 0)
    assert rarity["stopped"] == [True] * 4
    assert rarity["stop seconds"] < 5
    if callback.startswith("raises"):
        assert sum(before["errors"].values()) == _TOTAL
        assert len([text for text in rarity["warnings"] if "RuntimeError" in text]) == 1


def test_without_a_package_of_the_users_ours_serve(wheel: Path, tmp_path: Path) -> None:
    code = (
        "from enhanced_websocket_manager import EnhancedWebSocketManager as M\n"
        "m = M(); m.add_cex_exchange('binance'); m.add_dex_hyperliquid()\n"
        "print(type(m.cex_streams['binance']).__module__, type(m.dex_streams[0]).__module__)"
    )
    done = _run(wheel, tmp_path, "-c", code)
    assert (done.stdout, done.returncode) == ("liqtape.compat.streams liqtape.compat.streams\n", 0), done.stderr


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        (
            "cex/cex_exchanges.py",
            "class BinanceLiquidationStream: pass",
            r"ImportError: cex.cex_exchanges \(.*cex_exchanges.py\) has no class OKXLiquidationStream",
        ),
        (
            "cex/cex_exchanges.py",
            "import not_installed_here",
            "ModuleNotFoundError: No module named 'not_installed_here'",
        ),
        ("cex/__init__.py", "import cex.not_there", "ModuleNotFoundError: No module named 'cex.not_there'"),
        ("cex/cex_exchanges.py", "raise OSError('mine')", "OSError: mine"),
        ("cex/cex_exchanges.py", "def broken(:", "SyntaxError"),
    ],
    ids=["class missing", "needs something else", "package needs something else", "raises", "syntax"],
)
def test_what_is_wrong_with_the_users_package_is_the_users_to_see(
    name: str, text: str, error: str, wheel: Path, user_package: Path
) -> None:
    (user_package / name).write_text(text, encoding="utf-8")
    code = "from enhanced_websocket_manager import EnhancedWebSocketManager as M; M().add_cex_exchange('okx')"

    done = _run(wheel, user_package, "-c", code)

    assert done.returncode == 1
    assert re.search(error, done.stderr.splitlines()[-1] if "Syntax" not in error else done.stderr), done.stderr


def test_a_package_without_the_module_is_no_half_package(wheel: Path, user_package: Path) -> None:
    """`cex` may hold something else entirely: then ours serve."""
    (user_package / "cex" / "cex_exchanges.py").unlink()
    code = (
        "from enhanced_websocket_manager import EnhancedWebSocketManager as M\n"
        "m = M(); m.add_cex_exchange('okx'); print(type(m.cex_streams['okx']).__module__)"
    )
    assert _run(wheel, user_package, "-c", code).stdout == "liqtape.compat.streams\n"
