"""Real frames of the venues and a way to compare a frame with them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def _shape(value: Any) -> Any:
    """Keys in their order and JSON types; an array is what its elements have in common."""
    if isinstance(value, dict):
        return [(key, _shape(inner)) for key, inner in value.items()]
    if isinstance(value, list):
        shapes = [_shape(inner) for inner in value]
        assert all(shape == shapes[0] for shape in shapes)
        return ["array", *shapes[:1]]
    if isinstance(value, str):
        try:
            float(value)
        except ValueError:
            return "text"
        return "decimal text"
    return type(value).__name__


@pytest.fixture
def shape() -> Callable[[Any], Any]:
    return _shape


@pytest.fixture
def real_frames() -> Callable[[str], list[Any]]:
    def read(venue: str) -> list[Any]:
        path = Path(__file__).with_name(f"frames_{venue}.jsonl")
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

    return read
