"""The examples in the docstrings of forecasts are right."""

import doctest
import importlib
import pkgutil

import pytest

import liqtape.forecast

_MODULES = [module.name for module in pkgutil.walk_packages(liqtape.forecast.__path__, "liqtape.forecast.")]


@pytest.mark.parametrize("name", [*_MODULES, "liqtape.tui.forecastline"])
def test_examples(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples() -> None:
    assert sum(doctest.testmod(importlib.import_module(name)).attempted for name in _MODULES) > 5
