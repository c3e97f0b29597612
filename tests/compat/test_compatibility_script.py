"""The compatibility script itself: its summary, and that a broken copy makes the right line fail, and no other."""

import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_SCRIPT = _ROOT / "tests" / "test_enhanced_websocket_compatibility.py"
_DOCUMENT = _ROOT / "tests" / "fixtures" / "founding-document.md"

_DAMAGE = {
    "Import Compatibility": "import enhanced_websocket_manager as m; del m.BTCPriceUpdate",
    "Event Handling": (
        "import liqtape.compat.wrapped as w; w._TIME_NAMES = ('event_ms', 'timestamp')  # not timestamp_ms"
    ),
    "Stream Initialization": (
        "import liqtape.compat.streams as s; from msgspec.structs import replace\n"
        "s.OKXLiquidationStream.settings = lambda self: replace(self._configured, enabled=False)"
    ),
    "Callback Interface": (
        "import copy; from liqtape.compat.callbackslot import CallbackSlot; offer = CallbackSlot.offer\n"
        "CallbackSlot.offer = lambda self, item, tracker: offer(self, copy.copy(item), tracker)"
    ),
    "Statistics": (
        "from liqtape.compat.manager import EnhancedWebSocketManager as M; stats = M.get_stats\n"
        "M.get_stats = lambda self: stats(self) | {'velocity_alerts': 0}"
    ),
    "Velocity Tracker Independence": "import liqtape.compat.velocity as v; v._HORIZON_S = 10",
    "Zero Breaking Changes": (
        "from liqtape.compat import attach\n"
        "def hooked(stream, hook):\n"
        "    stream.callback = hook\n"
        "    return stream\n"
        "attach._hooked = hooked"
    ),
    "Performance": (
        "import time; from liqtape.compat.velocity import VelocityTracker as T; add = T.add_event\n"
        "def slow(self, *given):\n"
        "    until = time.thread_time_ns() + 1_100_000 * (4_000 < self.events_processed < 9_200)\n"
        "    while time.thread_time_ns() < until: pass\n"
        "    add(self, *given)\n"
        "T.add_event = slow"
    ),
}


def _run(damage: str = "") -> subprocess.CompletedProcess[str]:
    program = [str(_SCRIPT)]
    if damage:
        before = f"import sys; sys.path.insert(0, {str(_ROOT)!r})"
        after = f"import runpy; runpy.run_path({str(_SCRIPT)!r}, run_name='__main__')"
        program = ["-c", f"{before}\n{damage}\n{after}"]
    return subprocess.run(
        [sys.executable, *program], cwd=_SCRIPT.parent, capture_output=True, text=True, timeout=60, check=False
    )


def test_summary_is_the_documented_one() -> None:
    text = _DOCUMENT.read_text(encoding="utf-8")
    expected = text[text.index("TEST SUMMARY\n") :].partition("```")[0]

    done = _run()

    assert (done.stdout, done.returncode) == (expected, 0), done.stderr


@pytest.mark.parametrize("name", _DAMAGE)
def test_a_broken_copy_makes_the_right_line_fail(name: str) -> None:
    done = _run(_DAMAGE[name])

    lines = done.stdout.splitlines()
    assert done.returncode == 1, done.stderr
    assert [line.partition(": ")[0] for line in lines if line.startswith("❌ FAIL")] == [f"❌ FAIL - {name}"], (
        done.stdout
    )
    assert len([line for line in lines if line.startswith("✅ PASS")]) == 7
    assert lines[-2:] == ["Results: 7/8 tests passed", "❌ 1 TESTS FAILED - see the reasons above"]
    (failed,) = [line for line in lines if line.startswith("❌ FAIL")]
    assert len(failed.partition(": ")[2]) > 10
