"""Settings: frozen, checked, from option > environment > file > default. Unknown keys are refused with their place."""

import os
import tomllib
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from liqtape.errors import ConfigurationError

__all__ = ["AlertSettings", "RedisSettings", "Settings", "VenueSettings", "load_settings"]

_PREFIX = "LIQTAPE_"
_FOUNDING = ("binance", "bybit")


class VenueSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """One venue. `ws_url` and `rest_url` replace scheme and host; `symbols` (either spelling) empty means all."""

    enabled: bool = True
    ws_url: str | None = None
    rest_url: str | None = None
    symbols: tuple[str, ...] = ()
    redundancy: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.redundancy <= 4:
            raise ValueError("redundancy must be 1 to 4")
        for key, schemes in (("ws_url", ("ws://", "wss://")), ("rest_url", ("http://", "https://"))):
            url = getattr(self, key)
            if url is not None and not url.startswith(schemes):
                raise ValueError(f"{key} must begin with {' or '.join(schemes)}")


class RedisSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`url`: a redis:// URL used as named, `embedded` for a server of our own, `off`."""

    url: str = "embedded"
    prefix: str = ""
    persist: bool = False

    def __post_init__(self) -> None:
        if self.url not in {"embedded", "off"} and not self.url.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("url must be embedded, off, or begin with redis://, rediss:// or unix://")

    def __repr__(self) -> str:
        return f"RedisSettings(url={_without_password(self.url)!r}, prefix={self.prefix!r}, persist={self.persist})"


class AlertSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The threshold rule: liquidations/s over 10 s, liquidations/s^2."""

    velocity_10s: float = 5.0
    acceleration: float = 2.0

    def __post_init__(self) -> None:
        if not (self.velocity_10s > 0 and self.acceleration > 0):
            raise ValueError("velocity_10s and acceleration must be above 0")


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """Everything a tracker is built from. `symbols` (either spelling) empty means all instruments.

    >>> Settings().venues["bybit"].enabled
    True
    """

    symbols: tuple[str, ...] = ()
    venues: dict[str, VenueSettings] = msgspec.field(
        default_factory=lambda: {venue: VenueSettings() for venue in _FOUNDING}
    )
    redis: RedisSettings = RedisSettings()
    alerts: AlertSettings = AlertSettings()


def load_settings(
    path: Path | None = None,
    environ: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
    known_venues: frozenset[str] | None = None,
) -> Settings:
    """Settings of a file, the environment (`LIQTAPE_REDIS_URL`, `LIQTAPE_VENUES_BYBIT_ENABLED`) and options.

    `options` has the nesting of the file. Raises ConfigurationError naming place, key and what is allowed.
    """
    tree: dict[str, Any] = {}
    if path is not None:
        _merge(tree, _checked(_read(path), f"file {path}", known_venues))
    _merge(tree, _checked(_of_environment(os.environ if environ is None else environ), "environment", known_venues))
    _merge(tree, _checked(options or {}, "options", known_venues))
    return _settings(tree, "settings")


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}") from error


def _checked(tree: Mapping[str, Any], place: str, known_venues: frozenset[str] | None) -> Mapping[str, Any]:
    """The tree itself, after a trial decoding that names `place` in its error."""
    venues = tree.get("venues")
    if known_venues is not None and isinstance(venues, dict):
        for venue in venues:
            if venue not in known_venues:
                raise ConfigurationError(f"{place}: unknown venue '{venue}'; known: {', '.join(sorted(known_venues))}")
    _settings(tree, place)
    return tree


def _settings(tree: Mapping[str, Any], place: str) -> Settings:
    merged = dict(tree)
    if "venues" in tree and isinstance(tree["venues"], dict):
        merged["venues"] = {**{venue: {} for venue in _FOUNDING}, **tree["venues"]}
    try:
        # Not strict: the environment has only text.
        return msgspec.convert(merged, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{place}: {_explained(error)}") from error


def _explained(error: msgspec.ValidationError) -> str:
    text = str(error).replace("`", "'").replace("$.", "").replace("Object", "section")
    if "unknown field" in text:
        section = text.partition(" at '")[2].rstrip("'").split(".") if " at '" in text else []
        kind = Settings if not section else VenueSettings if section[0].startswith("venues") else _section(section[0])
        text += f"; allowed: {', '.join(kind.__struct_fields__)}"
    return text


def _section(name: str) -> type[Struct]:
    kind = typing.get_type_hints(Settings).get(name)
    return kind if isinstance(kind, type) and issubclass(kind, Struct) else Settings


def _of_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for variable, text in environ.items():
        if not variable.startswith(_PREFIX) or variable in {"LIQTAPE_REQUIRE_SERVERS", "LIQTAPE_CONFIG"}:
            continue
        path = _path_of(variable.removeprefix(_PREFIX).lower())
        if path is None:
            raise ConfigurationError(f"environment: {variable} is not a setting; for instance LIQTAPE_REDIS_URL is one")
        branch = tree
        for part in path[:-1]:
            branch = branch.setdefault(part, {})
        is_list = path[-1] == "symbols"
        branch[path[-1]] = [part.strip() for part in text.split(",") if part.strip()] if is_list else text
    return tree


def _path_of(key: str) -> list[str] | None:
    """`redis_url` -> [redis, url]; `venues_bybit_ws_url` -> [venues, bybit, ws_url]; None for no setting."""
    if key in Settings.__struct_fields__ and _section(key) is Settings and key != "venues":
        return [key]
    head, _, rest = key.partition("_")
    if head == "venues":
        for field in VenueSettings.__struct_fields__:
            venue = rest.removesuffix(f"_{field}")
            if venue != rest and venue:
                return [head, venue, field]
        return None
    section = _section(head)
    return [head, rest] if section is not Settings and rest in section.__struct_fields__ else None


def _merge(into: dict[str, Any], other: Mapping[str, Any]) -> None:
    for key, value in other.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = dict(value) if isinstance(value, Mapping) else value


def _without_password(url: str) -> str:
    scheme, found, rest = url.partition("://")
    credentials, at, host = rest.rpartition("@")
    return f"{scheme}{found}***@{host}" if at and credentials else url
