"""The command `init`: a file of settings to begin with, and its JSON schema."""

import sys
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from msgspec import Struct

from liqtape.cli.meanings import MEANINGS, SECTIONS
from liqtape.errors import ConfigurationError
from liqtape.settings import COMMAND_DEFAULTS, Settings, VenueSettings

__all__ = ["commented_settings", "init", "settings_schema"]

_SECRET = frozenset({"token"})  # never of a file
_VENUES = tuple(Settings().venues)
_HEAD = """\
# Settings of liqtape. Each key is shown with its default; take the # away before one that you change.
# An option of the command line wins over the environment (LIQTAPE_SECTION_KEY), that over this file.
"""


def init(
    out: Annotated[Path, typer.Option(metavar="FILE", help="The file to write; - for standard output.")] = Path(
        "liqtape.toml"
    ),
    schema: Annotated[bool, typer.Option("--schema", help="Write a JSON schema beside it, for editors.")] = False,
) -> int:
    """Write a commented liqtape.toml with every key, its default and its meaning."""
    beside = out.with_suffix(".schema.json")
    text = commented_settings(beside.name if schema else None)
    if str(out) == "-":
        sys.stdout.write(settings_schema() if schema else text)
        return 0
    _write_new(out, text)
    if schema:
        _write_new(beside, settings_schema())
    return 0


def _write_new(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigurationError(f"init: {path} is there already; name another with --out, or move it away") from None
    sys.stderr.write(f"liqtape init: wrote {path}\n")


def commented_settings(schema: str | None = None) -> str:
    """Return a file of settings with every key as a comment; `schema` names the file an editor finds its schema in."""
    lines = [f"#:schema ./{schema}"] if schema else []
    lines += [_HEAD, *_keys("", Settings)]
    for name, kind in _sections():
        lines += ["", f"# {SECTIONS[name]}"]
        lines += [f"[{name}]", *_keys(name, kind)]
    first, *others = _VENUES
    lines += ["", f"# {SECTIONS['venues']}", f"[venues.{first}]", *_keys("venues", VenueSettings)]
    lines += [f"\n[venues.{name}]" for name in others]
    return "\n".join(lines) + "\n"


def _sections() -> Iterator[tuple[str, type[Struct]]]:
    for name, kind in typing.get_type_hints(Settings).items():
        if isinstance(kind, type) and issubclass(kind, Struct):
            yield name, kind


def _keys(section: str, kind: type[Struct]) -> Iterator[str]:
    defaults = COMMAND_DEFAULTS.get(section, {})
    own = kind()
    sections = {name for name, _ in _sections()} | {"venues"}
    for name in kind.__struct_fields__:
        if name in _SECRET or (not section and name in sections):
            continue
        value = defaults.get(name, getattr(own, name))
        shown = '"..."  # unset unless named' if value is None else _toml(value)
        yield f"# {MEANINGS[f'{section}.{name}' if section else name]}"
        yield f"#{name} = {shown}"


def _toml(value: Any) -> str:
    if isinstance(value, Struct):
        value = msgspec.structs.asdict(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(part)}" for key, part in value.items()) + " }" if value else "{}"
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return msgspec.json.encode(value).decode()


def settings_schema() -> str:
    """Return the JSON schema of a file of settings, each key with its meaning."""
    tree: dict[str, Any] = msgspec.json.schema(Settings)
    names = {kind.__name__: name for name, kind in _sections()} | {"Settings": "", "VenueSettings": "venues"}
    names |= {"QuietHours": "alerts.quiet", "ChannelSettings": "alerts.channels", "AlarmRule": "alerts.rules"}
    for title, section in names.items():
        tree["$defs"][title].pop("description", None)  # of the class, for programmers
        for key, described in tree["$defs"][title]["properties"].items():
            meaning = MEANINGS.get(f"{section}.{key}" if section else key) or SECTIONS.get(key)
            if meaning is not None:
                described["description"] = meaning
    return msgspec.json.format(msgspec.json.encode(tree), indent=2).decode() + "\n"
