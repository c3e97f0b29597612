"""Settings: frozen, checked, from option > environment > file > default. Unknown keys are refused with their place."""

import logging
import os
import re
import stat
import tomllib
import typing
from collections.abc import Callable, Mapping, Sequence
from math import inf
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import msgspec
from msgspec import Struct

from liqtape.alarmsettings import AlarmRule, ChannelSettings, QuietHours, check_rules
from liqtape.cascades.choice import CascadeSettings
from liqtape.errors import ConfigurationError
from liqtape.sanitize import without_credentials, without_secrets
from liqtape.venues import VENUES

__all__ = [
    "COMMAND_DEFAULTS",
    "AlertSettings",
    "ForecastSettings",
    "HistorySettings",
    "PriceSettings",
    "RedisSettings",
    "Settings",
    "VenueSettings",
    "WebSettings",
    "load_settings",
    "settings_file",
    "variables_in",
]

COMMAND_DEFAULTS: Mapping[str, Any] = {"redis": {"url": "embedded"}, "web": {"listen": "127.0.0.1:8787"}}
"""What `run` and `check` take where nothing else is named; a tracker of your own starts no server unasked."""

_log = logging.getLogger(__name__)

_PREFIX = "LIQTAPE_"
_NOT_SETTINGS = frozenset({"LIQTAPE_CONFIG", "LIQTAPE_REQUIRE_SERVERS"})
_LISTS = frozenset({"symbols", "accounts", "hosts", "named", "muted", "detectors"})
"""In the environment separated by commas."""

_TABLES = frozenset({"floors_usd"})  # in the environment as in BTCUSDT=500000,ETHUSDT=200000
_NESTED: Mapping[str, type[Struct]] = {"channels": ChannelSettings, "rules": AlarmRule, "quiet": QuietHours}
"""Tables within a section; in the environment as JSON."""
_LEAST_TOKEN = 16
_SCHEME = re.compile(r"\w+://|postgres(?:ql)?:")  # with a slash too few it would be a directory named like a password
_INDEX = re.compile(r"\[\d+\]")
_PLACE = re.compile(r"\w+://(?:[^@/?#\s]*@)?[^@/?#\s]+(?:/[^@?#\s]*)?")

_SPOKEN = (
    ("object", "a section"),
    ("array", "a list"),
    ("bool", "true or false"),
    ("int", "a whole number"),
    ("float", "a number"),
    ("str | null", "text"),
    ("str", "text"),
)

Section = TypeVar("Section", bound=Struct)


def _check_names(what: str, names: Sequence[str], example: str) -> None:
    if isinstance(names, str):
        raise TypeError(f"{what} must be a list of names, as in ['{names or example}']")
    if not all(names):
        raise ValueError(f"{what} must not contain an empty name")


class VenueSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """One venue. `ws_url` and `rest_url` replace scheme and host; `symbols` (either spelling) empty means all.

    `accounts` are those whose fills are watched at a venue without a public channel; empty means its usual ones.
    """

    enabled: bool = True
    ws_url: str | None = None
    rest_url: str | None = None
    symbols: tuple[str, ...] = ()
    redundancy: int = 1
    accounts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_names("symbols", self.symbols, "BTCUSDT")
        _check_names("accounts", self.accounts, "0x...")
        if not 1 <= self.redundancy <= 4:
            raise ValueError("redundancy must be 1 to 4")
        for key, schemes in (("ws_url", ("ws://", "wss://")), ("rest_url", ("http://", "https://"))):
            url = getattr(self, key)
            if url is not None and not url.startswith(schemes):
                raise ValueError(f"{key} must begin with {' or '.join(schemes)}")
            if url is not None:
                _check_place(key, url)

    def __repr__(self) -> str:
        return _shown(self)

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return _fields(self)


class RedisSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`url`: a redis:// URL used as named, `embedded` for a server of our own, `off`.

    Where none is named a tracker of your own uses none, and the commands `run`, `demo` and `check` `embedded`.
    """

    url: str = "off"
    prefix: str = ""
    persist: bool = False

    def __post_init__(self) -> None:
        if self.url not in {"embedded", "off"} and not self.url.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("url must be embedded, off, or begin with redis://, rediss:// or unix://")

    def __repr__(self) -> str:
        return _shown(self)

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return _fields(self)


class AlertSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What makes a level: `return_period`, `surprise`, or the plain `threshold` rule of velocity and acceleration.

    Return period: how rarely the stream itself reaches as much USD within 60 s; CRITICAL needs `floor_usd` at least, or
    what `floors_usd` says for the instrument, in either spelling. Surprise: thresholds `watch`, `alert` (with
    `alert_count` liquidations in 60 s) and `critical` (with the same floors), which no other rule reads. Threshold:
    liquidations/s over 10 s, liquidations/s^2. `acceleration_form` is the one published and compared.

    Who is told: about `budget_per_week` market events a week open a thread, over all that is watched. Instruments that
    are `named` have a share of their own, those `muted` open none. `link` is the dashboard's address as messages name
    it. With `follow_up` the price an hour later is told, too. Without `channels` messages go to the log.
    """

    rule: Literal["return_period", "surprise", "threshold"] = "return_period"
    velocity_10s: float = 5.0
    acceleration: float = 2.0
    acceleration_form: Literal["least_squares", "difference", "exponential"] = "least_squares"
    watch: float = 3.0
    alert: float = 4.0
    critical: float = 6.0
    alert_count: int = 5
    floor_usd: float = 100_000.0
    floors_usd: dict[str, float] = msgspec.field(default_factory=dict)
    budget_per_week: float = 3.0
    named: tuple[str, ...] = ()
    muted: tuple[str, ...] = ()
    link: str = ""
    follow_up: bool = False
    quiet: QuietHours = QuietHours()
    channels: dict[str, ChannelSettings] = msgspec.field(default_factory=dict)
    rules: tuple[AlarmRule, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < self.budget_per_week <= 1_000:
            raise ValueError("budget_per_week must be above 0 and at most 1000")
        _check_names("named", self.named, "BTCUSDT")
        _check_names("muted", self.muted, "BTCUSDT")
        if self.link and not self.link.startswith(("http://", "https://")):
            raise ValueError("link must begin with http:// or https://")
        check_rules(self.rules, frozenset(self.channels))
        if not (self.velocity_10s > 0 and self.acceleration > 0):
            raise ValueError("velocity_10s and acceleration must be above 0")
        # A level is kept down to 1 below its threshold: at 1 or less the lowest would never end.
        if not 1 < self.watch <= self.alert <= self.critical <= 300:
            raise ValueError("watch, alert and critical must be above 1, at most 300, and in this order")
        if self.alert_count < 1:
            raise ValueError("alert_count must be at least 1")
        if not all(0 <= floor < inf for floor in (self.floor_usd, *self.floors_usd.values())):
            raise ValueError("floor_usd and each of floors_usd must be a number of at least 0")
        if not all(self.floors_usd):
            raise ValueError("floors_usd must not contain an empty name")

    def of_levels(self) -> "AlertSettings":
        """Return what decides levels alone; addresses of channels are nobody else's."""
        return msgspec.structs.replace(self, channels={}, rules=())


class PriceSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`spot_url` replaces scheme and host of Binance's spot data stream, the first stand-in for the futures price.

    `always` connects for the price also where no enabled venue brings it.
    """

    spot_url: str | None = None
    always: bool = False

    def __post_init__(self) -> None:
        if self.spot_url is not None and not self.spot_url.startswith(("ws://", "wss://")):
            raise ValueError("spot_url must begin with ws:// or wss://")
        if self.spot_url is not None:
            _check_place("spot_url", self.spot_url)

    def __repr__(self) -> str:
        return _shown(self)

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return _fields(self)


class HistorySettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`url`: a directory, `off`, or a postgresql:// URL, whose spool is in the data directory.

    Without one `run` keeps its history in the user's data directory, and a tracker of your own keeps none. What is
    older than `retention_days` is removed, and the oldest of what is more than `retention_gb`.
    """

    url: str | None = None
    retention_days: float = 3650.0
    retention_gb: float = 50.0
    seal: bool = True
    synchronous: Literal["NORMAL", "FULL"] = "NORMAL"

    def __post_init__(self) -> None:
        if self.url is not None:
            if not self.url.strip():
                raise ValueError("url must be a directory, off, or begin with postgresql://")
            if _SCHEME.match(self.url) and not self.is_server:
                raise ValueError("url must be a directory, off, or begin with postgresql://")
        if not (self.retention_days > 0 and self.retention_gb > 0):
            raise ValueError("retention_days and retention_gb must be above 0")

    @property
    def is_server(self) -> bool:
        """Whether a PostgreSQL server is named."""
        return self.url is not None and self.url.startswith(("postgresql://", "postgres://"))

    def __repr__(self) -> str:
        return _shown(self)

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return _fields(self)


class ForecastSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`model` is a file that `liqtape train` wrote; without one nothing is forecast.

    Each forecast is written to the directory `log` before its outcome, by default to `forecasts` in the data directory;
    `off` writes none. Beyond `log_mb` MB the oldest are removed.
    """

    model: str = ""
    log: str | None = None
    log_mb: float = 256.0

    def __post_init__(self) -> None:
        if self.log is not None and not self.log.strip():
            raise ValueError("log must be a directory or off")
        if not 10 <= self.log_mb <= 1_000_000:
            raise ValueError("log_mb must be 10 to 1000000")


class WebSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The page and the API: `listen` is HOST:PORT or `off`; `run` and `demo` take 127.0.0.1:8787 or the next free port.

    An address that others reach needs a token: of the environment, or the first line of `token_file`. `hosts` are the
    names under which it is opened besides its addresses and localhost.
    """

    listen: str | None = None
    token: str | None = None
    token_file: str | None = None
    hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.hosts:
            _check_names("hosts", self.hosts, "liqtape.example.net")
        if self.token is not None and len(self.token) < _LEAST_TOKEN:
            raise ValueError(f"token must have at least {_LEAST_TOKEN} characters")
        if self.listen is not None and self.listen != "off":
            self.address()

    def address(self) -> tuple[str, int] | None:
        """Return host and port, None where nothing is to be served."""
        if self.listen is None or self.listen == "off":
            return None
        host, _, port = self.listen.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not host or not port.isdecimal() or int(port) > 65_535:
            raise ValueError("listen must be HOST:PORT, as in 127.0.0.1:8787, or off")
        return host, int(port)

    def secret(self) -> str | None:
        """Return the token, which may be in a file. Raises ConfigurationError where that cannot be read."""
        if self.token is not None or self.token_file is None:
            return self.token
        try:
            token = Path(self.token_file).read_text(encoding="utf-8").partition("\n")[0].strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"web.token_file {self.token_file}: cannot be read: {error}") from error
        if len(token) < _LEAST_TOKEN:
            least = f"its first line must have at least {_LEAST_TOKEN} characters"
            raise ConfigurationError(f"web.token_file {self.token_file}: {least}")
        return token

    def __repr__(self) -> str:
        return _shown(self)

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return _fields(self)


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """Everything a tracker is built from. `symbols` (either spelling) empty means all instruments.

    Sections may be dictionaries; they are checked as those of a file, wrong keys, types and values raise
    `ConfigurationError`. `venues` are those that are connected: a venue that is not named is not.

    >>> Settings(redis={"url": "off"}).venues["bybit"].enabled
    True
    >>> Settings(symbols=("BTCUSDT",), venues={"okx": {"redundancy": 2}})
    Settings(symbols=('BTCUSDT',), venues={'okx': VenueSettings(redundancy=2)})
    """

    symbols: tuple[str, ...] = ()
    venues: dict[str, VenueSettings] = msgspec.field(
        default_factory=lambda: {venue: VenueSettings() for venue in _default_venues()}
    )
    redis: RedisSettings = RedisSettings()
    alerts: AlertSettings = AlertSettings()
    price: PriceSettings = PriceSettings()
    history: HistorySettings = HistorySettings()
    web: WebSettings = WebSettings()
    forecast: ForecastSettings = ForecastSettings()
    cascades: CascadeSettings = CascadeSettings()

    def __post_init__(self) -> None:
        _check_names("symbols", self.symbols, "BTCUSDT")
        checked: dict[str, Any] = {"symbols": tuple(self.symbols)}
        if not isinstance(self.venues, Mapping):
            raise ConfigurationError(f"venues: expected a section for each venue, got {type(self.venues).__name__}")
        checked["venues"] = {name: _checked(own, VenueSettings, f"venues.{name}") for name, own in self.venues.items()}
        for name, kind in typing.get_type_hints(Settings).items():
            if name not in checked:
                checked[name] = _checked(getattr(self, name), kind, name)
        for name, value in checked.items():
            msgspec.structs.force_setattr(self, name, value)

    @classmethod
    def load(
        cls,
        path: str | Path | None = None,
        environ: Mapping[str, str] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Self:
        """Return the settings of the file and the environment, as the commands read them.

        The file is `path`, else that of LIQTAPE_CONFIG, else `liqtape.toml` in this folder if there is one; `options`,
        nested as the file, win over both. Raises ConfigurationError naming place, key and what is allowed. Redis stays
        off where none is named.
        """
        named = None if path is None else Path(path)
        loaded = load_settings(settings_file(named, environ), environ, options)
        return cls(**{name: getattr(loaded, name) for name in cls.__struct_fields__})

    def __repr__(self) -> str:
        """Return what differs from the defaults."""
        default = Settings()
        values = [(name, getattr(self, name)) for name in self.__struct_fields__]
        shown = [f"{name}={value!r}" for name, value in values if value != getattr(default, name)]
        return f"Settings({', '.join(shown)})"


def _default_venues() -> list[str]:
    return [name for name, venue in VENUES.items() if venue.on_by_default]


def _checked(section: object, kind: type[Section], name: str) -> Section:
    """The section as what it must be; what it holds is checked, whether it is one or a dictionary."""
    if isinstance(section, kind):
        values: object = msgspec.structs.asdict(section)
    elif isinstance(section, Mapping):
        values = dict(section)
    else:
        raise ConfigurationError(f"{name}: expected {kind.__name__} or a dictionary, got {type(section).__name__}")
    return _converted(values, kind, name)


def _fields(section: Struct) -> list[tuple[str, Any]]:
    """Names and values as they may be shown: addresses without what may be secret."""
    values = msgspec.structs.asdict(section)
    for key, value in values.items():
        if isinstance(value, str) and key.endswith("url"):
            values[key] = without_secrets(value) if key == "url" else without_credentials(value)
        elif key == "token" and value is not None:
            values[key] = "***"
    return list(values.items())


def _shown(section: Struct) -> str:
    """A section as text: what differs from the defaults."""
    default = type(section)()
    shown = [f"{key}={value!r}" for key, value in _fields(section) if getattr(section, key) != getattr(default, key)]
    return f"{type(section).__name__}({', '.join(shown)})"


def _check_place(key: str, url: str) -> None:
    """That an address of a venue is scheme and place, of which credentials can be told apart."""
    if not _PLACE.fullmatch(url):
        raise ValueError(f"{key} must be scheme://host:port/path (special characters of a password percent-encoded)")


def settings_file(named: Path | None, environ: Mapping[str, str] | None = None) -> Path | None:
    """The named file, else that of LIQTAPE_CONFIG, else `liqtape.toml` in this folder if there is one.

    That one must belong to the user, and nobody else may write it: folders are shared.
    """
    if named is not None:
        return named
    if variable := (os.environ if environ is None else environ).get("LIQTAPE_CONFIG"):
        return Path(variable)
    usual = Path("liqtape.toml")
    if not usual.exists():
        return None
    if reason := _distrusted(usual):
        _log.warning("%s is not read: %s; name it with --config or LIQTAPE_CONFIG", usual.absolute(), reason)
        return None
    return usual


def _distrusted(path: Path) -> str:
    """Say why a file that nobody named is not to be trusted: it says where data go, and somebody else may write it."""
    if not hasattr(os, "geteuid"):
        return ""
    status = path.stat()
    if status.st_uid != os.geteuid():
        return "it belongs to another user"
    # A group of the user's own name is the user, where new files are writable by it.
    is_of_others = status.st_mode & stat.S_IWOTH or (status.st_mode & stat.S_IWGRP and status.st_gid != os.getegid())
    return "others may write it" if is_of_others else ""


def variables_in(environ: Mapping[str, str] | None = None) -> list[str]:
    """Names, never values, of the environment's variables that are settings."""
    names = os.environ if environ is None else environ
    return sorted(name for name in names if name.startswith(_PREFIX) and name not in _NOT_SETTINGS)


def load_settings(
    path: Path | None = None,
    environ: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
    known_venues: frozenset[str] | None = None,
    watch: Callable[[str, Sequence[str]], object] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> Settings:
    """Settings of a file, the environment (`LIQTAPE_REDIS_URL`, `LIQTAPE_VENUES_BYBIT_ENABLED`) and options.

    `options` and `defaults` have the nesting of the file. `watch` is called with a venue and its configured accounts,
    and raises where it cannot watch them. Raises ConfigurationError naming place, key and what is allowed.
    """
    tree: dict[str, Any] = {}
    _merge(tree, defaults or {})
    given: list[tuple[str, Mapping[str, Any]]] = [] if path is None else [(f"file {path}", _without_token(path))]
    given.append(("environment", _of_environment(os.environ if environ is None else environ)))
    given.append(("options", options or {}))
    for place, own in given:
        # Each by itself first, so that an error names its place.
        _check_accounts(_settings(own, place, known_venues), place, watch)
        _merge(tree, own)
    return _settings(tree, "settings", known_venues)


def _check_accounts(settings: Settings, place: str, watch: Callable[[str, Sequence[str]], object] | None) -> None:
    for venue, own in settings.venues.items():
        if own.accounts and watch is not None:
            try:
                watch(venue, own.accounts)
            except ConfigurationError as error:
                raise ConfigurationError(f"{place}: venues.{venue}: accounts: {error}") from error


def _without_token(path: Path) -> dict[str, Any]:
    """What the file says. Raises ConfigurationError for a token, which is not for a file that is shown around."""
    tree = _read(path)
    web = tree.get("web")
    if isinstance(web, Mapping) and "token" in web:
        raise ConfigurationError(f"file {path}: web.token: set LIQTAPE_WEB_TOKEN, or name a file with web.token_file")
    return tree


def _read(path: Path) -> dict[str, Any]:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error
    try:
        return tomllib.loads(raw.decode("utf-8-sig"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}") from error
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"{path} is not valid TOML: not UTF-8 (at line {line})") from error


def _settings(tree: Mapping[str, Any], place: str, known_venues: frozenset[str] | None) -> Settings:
    own = tree.get("venues", {})
    if not isinstance(own, Mapping):
        raise ConfigurationError(f"{place}: venues: expected a section for each venue, as in [venues.bybit]")
    for venue in own:
        if known_venues is not None and venue not in known_venues:
            raise ConfigurationError(
                f"{place}: venues: unknown venue '{venue}'; known: {', '.join(sorted(known_venues))}"
            )
    venues = {
        venue: _converted(values, VenueSettings, f"{place}: venues.{venue}")
        for venue, values in {**{venue: {} for venue in _default_venues()}, **own}.items()
    }
    rest = {key: value for key, value in tree.items() if key != "venues"}
    return msgspec.structs.replace(_converted(rest, Settings, place), venues=venues)


def _converted(values: object, kind: type[Section], place: str) -> Section:
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{place}: {_explained(str(error), kind)}") from error


def _explained(text: str, kind: type[Struct]) -> str:
    """`Expected `str`, got `int` - at `$.redis.url`` -> redis.url: expected str, got int."""
    said, _, path = text.replace("`", "").partition(" - at ")
    path = path.removeprefix("$").removeprefix(".").replace("[...]", "")
    if "unknown field" in said:
        inner = _NESTED.get(_INDEX.sub("", path).rpartition(".")[2]) or (
            _section(path) if path and kind is Settings else kind
        )
        said = said.replace("Object contains unknown field", "unknown key") + f"; allowed: {', '.join(_keys(inner))}"
    for theirs, ours in _SPOKEN:
        said = said.replace(f"Expected {theirs},", f"expected {ours},")
    said = said.replace("Expected ", "expected ")
    return f"{path}: {said}" if path else said


def _keys(kind: type[Struct]) -> tuple[str, ...]:
    return kind.__struct_fields__


def _section(name: str) -> type[Struct]:
    kind = typing.get_type_hints(Settings).get(name)
    return kind if isinstance(kind, type) and issubclass(kind, Struct) else Settings


def _of_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """The variables that are settings, as a tree; here alone text stands for numbers and booleans."""
    tree: dict[str, Any] = {}
    for variable, text in environ.items():
        if not variable.startswith(_PREFIX) or variable in _NOT_SETTINGS:
            continue
        path = _path_of(variable.removeprefix(_PREFIX).lower())
        if path is None:
            raise ConfigurationError(f"environment: {variable} is not a setting; there are {', '.join(_variables())}")
        branch = tree
        for part in path[:-1]:
            branch = branch.setdefault(part, {})
        branch[path[-1]] = _value(variable, path, text)
    return tree


def _value(variable: str, path: Sequence[str], text: str) -> Any:
    if path[-1] in _LISTS:
        return [part.strip() for part in text.split(",") if part.strip()]
    kind = VenueSettings if path[0] == "venues" else _section(path[0])
    if path[-1] in _TABLES:
        try:
            return {name.strip(): float(number) for name, number in (part.split("=") for part in text.split(","))}
        except ValueError:
            raise ConfigurationError(f"environment: {variable}: write it as in BTCUSDT=500000,ETHUSDT=200000") from None
    wanted = typing.get_type_hints(kind)[path[-1]]
    if path[-1] in _NESTED:
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError as error:
            raise ConfigurationError(f"environment: {variable}: write it as JSON ({error})") from None
    try:
        return msgspec.convert(text, wanted, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"environment: {variable}: {_explained(str(error), kind)}") from error


def _variables() -> list[str]:
    names = ["SYMBOLS", *(f"VENUES_<VENUE>_{key}" for key in _keys(VenueSettings))]
    names += [
        f"{section}_{key}"
        for section in _keys(Settings)
        if _section(section) is not Settings
        for key in _keys(_section(section))
    ]
    return [_PREFIX + name.upper() for name in names]


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
        if isinstance(value, Mapping):
            branch = into.setdefault(key, {})
            _merge(branch, value)
        else:
            into[key] = value
