"""The examples in the docstrings of the core are right."""

import doctest
import importlib
import pkgutil

import pytest

import liqtape.engine

_MODULES = [
    *(f"liqtape.{name}" for name in ("errors", "events", "identity", "instruments", "ledger", "money")),
    *(module.name for module in pkgutil.walk_packages(liqtape.engine.__path__, "liqtape.engine.")),
]
_WITH_EXAMPLES = {
    *("liqtape.events", "liqtape.instruments", "liqtape.money", "liqtape.engine.windows.acceleration"),
    *(
        "liqtape.engine.windows.coverage",
        "liqtape.engine.windows.eventcolumn",
        "liqtape.engine.levels.threshold",
        "liqtape.engine.windows.slotrate",
    ),
    *("liqtape.engine.velocity", "liqtape.engine.windows.window"),
}


@pytest.mark.parametrize("name", _MODULES)
def test_examples_of_the_core(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    failed, attempted = doctest.testmod(importlib.import_module(name))

    assert failed == 0, capsys.readouterr().out
    assert attempted > 0 or name not in _WITH_EXAMPLES


def test_none_of_those_with_examples_is_missed() -> None:
    assert set(_MODULES) >= _WITH_EXAMPLES
