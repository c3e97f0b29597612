"""The public names: documented, there, and loaded only when used."""

import importlib
import json
import pkgutil
import subprocess
import sys
from types import ModuleType

import pytest

import liqtape

_DOCUMENTED = {
    "Alert",
    "Batch",
    "Liquidation",
    "Settings",
    "Sink",
    "Tracker",
    "VelocityEngine",
    "VelocityMetrics",
    "__version__",
    "venues",
}
# Run as programs of their own, never imported by name.
_PROGRAMS = {"liqtape.__main__", "liqtape.embedded.guard"}
_MODULES = sorted(
    module.name for module in pkgutil.walk_packages(liqtape.__path__, "liqtape.") if module.name not in _PROGRAMS
)


def _own_names(module: ModuleType) -> set[str]:
    """Public functions and classes defined in the module itself."""
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and callable(value) and getattr(value, "__module__", None) == module.__name__
    }


def _python(script: str) -> str:
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=20)
    return ran.stdout


def test_the_documented_list() -> None:
    assert set(liqtape.__all__) == _DOCUMENTED


@pytest.mark.parametrize("name", sorted(_DOCUMENTED))
def test_each_documented_name_resolves(name: str) -> None:
    assert getattr(liqtape, name) is not None


def test_dir_offers_the_public_names() -> None:
    offered = json.loads(_python("import liqtape, json; print(json.dumps(dir(liqtape)))"))

    assert {name for name in offered if not name.startswith("_")} == _DOCUMENTED - {"__version__"}
    assert {"__version__", "__all__", "__doc__", "__file__", "__path__"} <= set(offered)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Tracer'"):
        _ = liqtape.Tracer


@pytest.mark.parametrize("name", _MODULES)
def test_every_public_module_lists_what_it_offers(name: str) -> None:
    module = importlib.import_module(name)

    offered = getattr(module, "__all__", [])

    assert len(offered) == len(set(offered))
    assert [missing for missing in offered if not hasattr(module, missing)] == []
    # A module without a list is a package whose modules are imported by their own names.
    assert hasattr(module, "__all__") or not _own_names(module)


@pytest.mark.parametrize("name", [name for name in _MODULES if name.startswith(("liqtape.venues", "liqtape.engine"))])
def test_the_core_hides_nothing_public(name: str) -> None:
    module = importlib.import_module(name)

    assert _own_names(module) <= set(getattr(module, "__all__", []))


def test_the_documented_import_works() -> None:
    script = (
        "from liqtape import Tracker, Settings, Liquidation, VelocityEngine, VelocityMetrics, Sink\n"
        "import liqtape\n"
        "print(sorted(liqtape.venues.VENUES)[:2], VelocityEngine().metrics('BTCUSDT', 1_790_000_000_000))"
    )

    assert _python(script) == "['binance', 'bybit'] None\n"


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        ("import liqtape", set()),
        ("from liqtape import VelocityEngine, Liquidation, VelocityMetrics, venues", {"msgspec"}),
    ],
)
def test_importing_loads_no_network(statement: str, allowed: set[str]) -> None:
    watched = ["asyncio", "aiohttp", "picows", "redis", "msgspec", "rich", "typer"]

    loaded = set(json.loads(_python(f"{statement}; import sys, json; print(json.dumps([*sys.modules]))")))

    assert loaded.intersection(watched) == allowed
