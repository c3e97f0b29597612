"""The file that `init` writes, and its schema."""

import json
import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from liqtape.cli.app import main
from liqtape.cli.initial import commented_settings, settings_schema
from liqtape.cli.meanings import MEANINGS, SECTIONS
from liqtape.settings import COMMAND_DEFAULTS, Settings, VenueSettings, load_settings


def _keys() -> set[str]:
    own = {
        name for name in Settings.__struct_fields__ if not isinstance(getattr(Settings(), name), msgspec.Struct | dict)
    }
    venue = {f"venues.{name}" for name in VenueSettings.__struct_fields__}
    sections = {
        f"{section}.{name}"
        for section in Settings.__struct_fields__
        if isinstance(value := getattr(Settings(), section), msgspec.Struct)
        for name in value.__struct_fields__
    }
    return own | venue | sections


def test_every_key_has_its_meaning() -> None:
    assert _keys() - MEANINGS.keys() == set()
    assert {key.partition(".")[0] for key in _keys() if "." in key} - SECTIONS.keys() == set()


def test_the_file_says_nothing_until_a_key_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "liqtape.toml"
    path.write_text(commented_settings())
    assert load_settings(path, {}, None, None, None, COMMAND_DEFAULTS) == load_settings(
        None, {}, None, None, None, COMMAND_DEFAULTS
    )


def test_each_key_taken_is_its_default(tmp_path: Path) -> None:
    taken = re.sub(r"^#(\w+ = )", r"\1", commented_settings(), flags=re.MULTILINE)
    taken = re.sub(r"^\w+ = .*# unset unless named\n", "", taken, flags=re.MULTILINE)
    (tmp_path / "liqtape.toml").write_text(taken)
    tree = tomllib.loads(taken)
    assert len(tree["alerts"]) == len(MEANINGS.keys() & {f"alerts.{name}" for name in tree["alerts"]})
    expected = load_settings(None, {}, None, None, None, COMMAND_DEFAULTS)
    assert load_settings(tmp_path / "liqtape.toml", {}, None, None, None, COMMAND_DEFAULTS) == expected


def test_the_schema_describes_every_key() -> None:
    schema = json.loads(settings_schema())["$defs"]
    undescribed = [
        f"{title}.{name}"
        for title, definition in schema.items()
        for name, described in definition["properties"].items()
        if "description" not in described
    ]
    assert undescribed == []


def test_a_file_that_is_there_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "own.toml"
    assert main(["init", "--out", str(out), "--schema"]) == 0
    assert out.read_text().startswith("#:schema ./own.schema.json\n")
    assert json.loads((tmp_path / "own.schema.json").read_text())
    assert main(["init", "--out", str(out)]) == 2
    assert "is there already" in capsys.readouterr().err
