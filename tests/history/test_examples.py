"""The small parts of the history: their examples are right."""

import doctest
import importlib
import pkgutil

import pytest

import liqtape.history

_WITH_EXAMPLES = {"liqtape.history.log.pricebars", "liqtape.history.log.losses", "liqtape.history.archive.archiver"}
_MODULES = [module.name for module in pkgutil.iter_modules(liqtape.history.__path__, "liqtape.history.")]


@pytest.mark.parametrize("name", _MODULES)
def test_examples_of_the_history(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    failed, attempted = doctest.testmod(importlib.import_module(name))

    assert failed == 0, capsys.readouterr().out
    assert attempted > 0 or name not in _WITH_EXAMPLES
