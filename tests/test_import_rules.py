"""The import rules of pyproject.toml, tried on a toy tree with the rooms of the real one."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

_CHECKOUT = Path(__file__).resolve().parents[1]
_CONTRACTS = tomllib.loads((_CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
    "contracts"
]
_ROOMS = [room for layer in _CONTRACTS[0]["layers"] for room in re.findall(r"\w+", layer)]
_CORE = _ROOMS[_ROOMS.index("engine") :]


def _lint(root: Path, extra: dict[str, str]) -> subprocess.CompletedProcess[str]:
    package = root / "src" / "liqtape"
    modules = {f"{room}/__init__.py": "" for room in _ROOMS} | {"venues/base.py": "", "venues/bybit.py": ""}
    modules |= {"alarms/policy/__init__.py": ""} | extra
    for name, text in ({"__init__.py": ""} | modules).items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text, encoding="utf-8")
    shutil.copy(_CHECKOUT / "pyproject.toml", root)
    return subprocess.run(
        [shutil.which("lint-imports", path=str(Path(sys.executable).parent)) or "lint-imports", "--no-cache"],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root / "src"), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def test_a_tree_that_follows_the_plan_passes(tmp_path: Path) -> None:
    run = _lint(
        tmp_path,
        {
            "venues/binance.py": "import msgspec\nfrom liqtape.venues import base\nfrom liqtape import events",
            "simulator/server.py": "import asyncio\nfrom liqtape import errors",
        },
    )

    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize(
    ("name", "text", "contract"),
    [
        ("helpers.py", "", 0),
        ("events/bad.py", "import liqtape.venues", 0),
        ("sinks/bad.py", "import liqtape.feeds", 0),
        ("engine/bad.py", "import time", 1),
        ("forecast/bad.py", "import time", 1),
        ("forecast/bad.py", "from datetime import datetime", 1),
        ("forecast/bad.py", "import liqtape.ourtime", 0),
        ("venues/bad.py", "import aiohttp", 1),
        ("alarms/policy/bad.py", "import datetime", 1),
        ("venues/binance.py", "import liqtape.venues.bybit", 2),
        ("simulator/bad.py", "import liqtape.events", 3),
        ("simulator/bad.py", "import liqtape.venues.bybit", 3),
    ],
)
def test_a_breach_is_refused_by_name(tmp_path: Path, name: str, text: str, contract: int) -> None:
    run = _lint(tmp_path, {name: text})

    assert run.returncode == 1, run.stdout
    assert f"{_CONTRACTS[contract]['name']} BROKEN" in " ".join(run.stdout.split())


def test_every_core_module_is_kept_from_the_outside_world() -> None:
    package = _CHECKOUT / "src" / "liqtape"
    present = {name for name in _CORE if (package / name).is_dir() or (package / f"{name}.py").is_file()}

    assert present <= {name.removeprefix("liqtape.") for name in _CONTRACTS[1]["source_modules"]}
