import io
import json
import os
import typing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from liqtape.alarmsettings import AlarmRule, ChannelSettings, QuietHours
from liqtape.errors import ConfigurationError
from liqtape.settings import (
    COMMAND_DEFAULTS,
    AlertSettings,
    RedisSettings,
    Settings,
    VenueSettings,
    WebSettings,
    load_settings,
    settings_file,
    variables_in,
)
from liqtape.venues import VENUES, watched

KNOWN = frozenset(VENUES)
SECRET = "s3cret-pa55"
ACCOUNT, OTHER_ACCOUNT = "0x" + "a1" * 20, "0x" + "b2" * 20

# key -> (text of the environment, what it means)
VALUES: dict[str, tuple[str, object]] = {
    "symbols": ("BTCUSDT, 牛来USDT ,", ("BTCUSDT", "牛来USDT")),
    "enabled": ("false", False),
    "ws_url": ("wss://127.0.0.1:1/x", "wss://127.0.0.1:1/x"),
    "rest_url": ("http://127.0.0.1:1", "http://127.0.0.1:1"),
    "redundancy": ("3", 3),
    "accounts": (f"{ACCOUNT}, {OTHER_ACCOUNT},", (ACCOUNT, OTHER_ACCOUNT)),
    "spot_url": ("wss://127.0.0.1:1/spot", "wss://127.0.0.1:1/spot"),
    "always": ("true", True),
    "url": ("redis://127.0.0.1:7000/2", "redis://127.0.0.1:7000/2"),
    "prefix": ("mine:", "mine:"),
    "persist": ("true", True),
    "velocity_10s": ("7.5", 7.5),
    "acceleration": ("0.5", 0.5),
    "rule": ("threshold", "threshold"),
    "acceleration_form": ("difference", "difference"),
    "watch": ("2.5", 2.5),
    "alert": ("5.5", 5.5),
    "critical": ("7", 7.0),
    "alert_count": ("9", 9),
    "floor_usd": ("5e5", 500_000.0),
    "floors_usd": ("BTCUSDT=500000, ETH-USDT-SWAP=2e5", {"BTCUSDT": 500_000.0, "ETH-USDT-SWAP": 200_000.0}),
    "budget_per_week": ("7.5", 7.5),
    "named": ("BTCUSDT, ETH-USDT-SWAP", ("BTCUSDT", "ETH-USDT-SWAP")),
    "muted": ("SOLUSDT", ("SOLUSDT",)),
    "link": ("http://127.0.0.1:8787", "http://127.0.0.1:8787"),
    "follow_up": ("true", True),
    "quiet": ('{"start": "23:00", "end": "07:00"}', QuietHours("23:00", "07:00")),
    "channels": ('{"log": {"kind": "log"}}', {"log": ChannelSettings("log")}),
    "rules": ('[{"name": "big", "usd": 5}]', (AlarmRule("big", usd=5.0),)),
    "history.url": ("postgresql://127.0.0.1/x", "postgresql://127.0.0.1/x"),
    "retention_days": ("7.5", 7.5),
    "retention_gb": ("0.5", 0.5),
    "seal": ("false", False),
    "synchronous": ("FULL", "FULL"),
    "listen": ("127.0.0.1:9999", "127.0.0.1:9999"),
    "token": ("a-token-of-some-length", "a-token-of-some-length"),
    "token_file": ("/run/secrets/liqtape", "/run/secrets/liqtape"),
    "model": ("cascades.json", "cascades.json"),
    "log": ("forecasts", "forecasts"),
    "log_mb": ("20", 20.0),
    "hosts": ("tape.example.net, other.example.net,", ("tape.example.net", "other.example.net")),
    "detectors": ("cusum, hawkes", ("cusum", "hawkes")),
    "by": ("usd", "usd"),
    "side": ("long", "long"),
    "level": ("ALERT", "ALERT"),
    "usd_velocity_10s": ("5e4", 50_000.0),
    "surprise": ("5.5", 5.5),
    "cusum": ("40", 40.0),
    "hawkes": ("75.5", 75.5),
    "change_point": ("20", 20.0),
    "refit": ("false", False),
}


def sample(path: tuple[str, ...]) -> tuple[str, Any]:
    """A value of the setting that is not its default, as text and as what it means."""
    return VALUES.get(".".join(path)) or VALUES[path[-1]]


def load(
    tmp_path: Path, toml: str | bytes | None = None, environ: dict[str, str] | None = None, options: Any = None
) -> Settings:
    path = None
    if toml is not None:
        path = tmp_path / "liqtape.toml"
        path.write_bytes(toml.encode() if isinstance(toml, str) else toml)
    return load_settings(path, environ or {}, options, KNOWN)


def refusal(tmp_path: Path, *args: Any, **known: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, *args, **known)
    text = str(caught.value)
    assert "\n" not in text
    return text


def every_key() -> list[tuple[str, ...]]:
    """The path of every setting there is; a new one fails here until its value is listed above."""
    paths: list[tuple[str, ...]] = [("venues", "bybit", key) for key in VenueSettings.__struct_fields__]
    for name, kind in typing.get_type_hints(Settings).items():
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            paths += [(name, key) for key in kind.__struct_fields__]
        elif name != "venues":
            paths.append((name,))
    return paths


def value_at(settings: Settings, path: tuple[str, ...]) -> object:
    value: Any = settings
    for part in path:
        value = value[part] if isinstance(value, dict) else getattr(value, part)
    return value


def nested(path: tuple[str, ...], value: object) -> dict[str, Any]:
    for part in reversed(path):
        value = {part: value}
    return typing.cast("dict[str, Any]", value)


def test_the_page_lists_every_key_its_default_and_its_variable() -> None:
    page = Path(__file__).parents[1] / "docs" / "reference" / "settings.md"
    rows = [line.strip("| \n").split(" | ") for line in page.read_text().splitlines() if line.startswith("| `")]

    def listed(path: tuple[str, ...]) -> list[str]:
        default = value_at(Settings(), path)
        shown = {None: "unset", "": "empty", True: "`true`", False: "`false`"}
        if isinstance(default, tuple):
            text = f"`{json.dumps(default)}`"
        else:
            text = shown[default] if isinstance(default, bool | None) or default == "" else f"`{default}`"
        key = ".".join(path).replace("bybit", "<venue>")
        return [f"`{key}`", text, "`LIQTAPE_" + "_".join(path).upper().replace("BYBIT", "<VENUE>") + "`"]

    assert sorted(row[:3] for row in rows) == sorted(listed(path) for path in every_key())
    assert all(len(row) == 4 and row[3] for row in rows)


def test_nothing_given_is_the_default(tmp_path: Path) -> None:
    assert load(tmp_path) == Settings()
    assert load(tmp_path, "") == Settings()


@pytest.mark.parametrize("path", every_key(), ids=".".join)
def test_every_key_by_environment(tmp_path: Path, path: tuple[str, ...]) -> None:
    text, meaning = sample(path)

    settings = load(tmp_path, environ={"LIQTAPE_" + "_".join(path).upper(): text, "HOME": "/"})

    assert value_at(settings, path) == meaning
    assert value_at(Settings(), path) != meaning


@pytest.mark.parametrize("path", [path for path in every_key() if path != ("web", "token")], ids=".".join)
def test_option_over_environment_over_file_over_default(tmp_path: Path, path: tuple[str, ...]) -> None:
    text, meaning = sample(path)
    variable = {"LIQTAPE_" + "_".join(path).upper(): text}
    listed = list(meaning) if isinstance(meaning, tuple) else meaning
    others: dict[str, Any] = {
        "redundancy": 2,
        "velocity_10s": 1,
        "acceleration": 3.0,
        "enabled": True,
        "persist": False,
        "always": False,
        "retention_days": 3,
        "retention_gb": 4.5,
        "log_mb": 30.5,
        "seal": True,
        "synchronous": "NORMAL",
        "rule": "surprise",
        "acceleration_form": "exponential",
        "watch": 3.5,
        "alert": 3.25,
        "critical": 6.5,
        "alert_count": 3,
        "floor_usd": 0.0,
        "floors_usd": {"SOLUSDT": 7.0},
        "budget_per_week": 1.5,
        "follow_up": False,
        "listen": "[::1]:1",
        "detectors": ["surprise"],
        "by": "rate",
        "side": "short",
        "level": "CRITICAL",
        "usd_velocity_10s": 5.0,
        "surprise": 3.5,
        "cusum": 12.5,
        "hawkes": 9.0,
        "change_point": 11.0,
        "refit": True,
    }
    if path[-1] in {"quiet", "channels", "rules"}:  # tables within a section: a test of their own
        return
    other = others.get(
        path[-1],
        ["ETHUSDT"]
        if path[-1] in {"symbols", "accounts", "named", "muted", "hosts"}
        else "http://o"
        if path[-1] in {"rest_url", "link"}
        else "ws://o",
    )
    if path[-1] == "url":
        other = "off"
    if path[-1] == "floors_usd":  # a table: what is given in several places is joined
        meaning, listed = {**other, **meaning}, meaning
        assert value_at(load(tmp_path, "[alerts.floors_usd]\nSOLUSDT = 7", variable), path) == meaning
        assert (
            value_at(load(tmp_path, "[alerts.floors_usd]\nSOLUSDT = 7", options=nested(path, listed)), path) == meaning
        )
        return
    shown = (
        f'"{other}"' if isinstance(other, str) else str(other).replace("'", '"').lower().replace("ethusdt", "ETHUSDT")
    )
    toml = "\n".join([f"[{'.'.join(path[:-1])}]" if path[:-1] else "", f"{path[-1]} = {shown}"])
    expected = tuple(other) if isinstance(other, list) else other

    assert value_at(load(tmp_path, toml), path) == expected
    assert value_at(load(tmp_path, toml, variable), path) == meaning
    assert value_at(load(tmp_path, toml, variable, nested(path, other)), path) == expected
    assert value_at(load(tmp_path, toml, options=nested(path, listed)), path) == meaning


def test_tables_of_alerts_come_from_the_file_and_are_joined_with_the_environment(tmp_path: Path) -> None:
    toml = """
[alerts.quiet]
start = "23:00"
end = "07:00"
[alerts.channels.phone]
kind = "apprise"
url_env = "PHONE"
[[alerts.rules]]
name = "big"
usd = 5e6
channels = ["phone"]
"""
    environ = {
        "LIQTAPE_ALERTS_QUIET": '{"zone": "Europe/Zurich"}',
        "LIQTAPE_ALERTS_CHANNELS": '{"log": {"kind": "log"}}',
    }

    alerts = load(tmp_path, toml, environ).alerts

    assert alerts.quiet == QuietHours("23:00", "07:00", "Europe/Zurich")
    assert alerts.channels == {"phone": ChannelSettings("apprise", url_env="PHONE"), "log": ChannelSettings("log")}
    assert alerts.rules == (AlarmRule("big", usd=5e6, channels=("phone",)),)


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("[alerts.quiet]\nstart = '23:00'", "start and end must both be given"),
        ("[alerts.quiet]\nbegin = '23:00'", "unknown key `begin`; allowed: start, end, zone, level"),
        ("[alerts.channels.a]\nkind = 'mail'", "Invalid enum value 'mail'"),
        ("[alerts.channels.a]\nkind = 'log'\nto = 'x'", "unknown key `to`; allowed: kind, url,"),
        ("[[alerts.rules]]\nname = 'a'\nusdd = 1", "unknown key `usdd`; allowed: name, level,"),
        ("[[alerts.rules]]\nname = 'a'\nusd = 1\nchannels = ['b']", "no channel 'b'; there are none"),
        ("[alerts]\nbudget_per_week = 0", "budget_per_week must be above 0"),
        ("[alerts]\nlink = 'localhost'", "link must begin with http:// or https://"),
    ],
    ids=str,
)
def test_an_impossible_alarm_setting_is_refused_with_its_place(tmp_path: Path, toml: str, said: str) -> None:
    text = refusal(tmp_path, toml).replace("`", "")

    assert said.replace("`", "") in text
    assert "alerts" in text


def test_a_table_in_the_environment_that_is_no_json_is_refused(tmp_path: Path) -> None:
    text = refusal(tmp_path, environ={"LIQTAPE_ALERTS_CHANNELS": "log"})

    assert "LIQTAPE_ALERTS_CHANNELS: write it as JSON" in text


def test_token_comes_by_the_environment_or_a_file_of_its_own(tmp_path: Path) -> None:
    kept = tmp_path / "token"
    kept.write_text("the-token-in-a-file\nand more\n")

    assert (
        load(tmp_path, environ={"LIQTAPE_WEB_TOKEN": "a-token-of-some-length"}).web.secret() == "a-token-of-some-length"
    )
    assert load(tmp_path, f'[web]\ntoken_file = "{kept}"').web.secret() == "the-token-in-a-file"
    assert load(tmp_path).web.secret() is None
    with pytest.raises(ConfigurationError, match="LIQTAPE_WEB_TOKEN"):
        load(tmp_path, '[web]\ntoken = "a-token-of-some-length"')
    with pytest.raises(ConfigurationError, match="at least 16"):
        load(tmp_path, environ={"LIQTAPE_WEB_TOKEN": "short"})
    kept.write_text("short\n")
    with pytest.raises(ConfigurationError, match="at least 16"):
        load(tmp_path, f'[web]\ntoken_file = "{kept}"').web.secret()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load(tmp_path, f'[web]\ntoken_file = "{tmp_path}/none"').web.secret()


def test_token_is_never_shown(tmp_path: Path) -> None:
    settings = load(tmp_path, environ={"LIQTAPE_WEB_TOKEN": "a-token-of-some-length"})

    assert "of-some" not in repr(settings)
    assert "***" in repr(settings.web)


@pytest.mark.parametrize(
    ("listen", "address"),
    [("127.0.0.1:8787", ("127.0.0.1", 8787)), ("[::1]:0", ("::1", 0)), ("off", None), (None, None)],
)
def test_listen_is_host_and_port(listen: str | None, address: tuple[str, int] | None) -> None:
    assert WebSettings(listen=listen).address() == address


@pytest.mark.parametrize("listen", ["8787", ":8787", "127.0.0.1", "127.0.0.1:http", "127.0.0.1:99999", "on", ""])
def test_listen_that_is_no_address_is_refused(tmp_path: Path, listen: str) -> None:
    with pytest.raises(ConfigurationError, match="HOST:PORT"):
        load(tmp_path, f'[web]\nlisten = "{listen}"')


def test_keys_of_one_section_may_come_from_everywhere(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        '[redis]\nprefix = "f:"\n[venues.bybit]\nredundancy = 2\n[venues.okx]\nenabled = false',
        {"LIQTAPE_REDIS_PERSIST": "1", "LIQTAPE_VENUES_BYBIT_SYMBOLS": "BTCUSDT"},
        {"redis": {"url": "off"}, "venues": {"bybit": {"enabled": True}}},
    )

    assert settings.redis == RedisSettings("off", "f:", persist=True)
    assert settings.venues["bybit"] == VenueSettings(symbols=("BTCUSDT",), redundancy=2)
    assert settings.venues["okx"] == VenueSettings(enabled=False)
    assert settings.venues["binance"] == VenueSettings()


def test_merging_leaves_the_options_as_they_were(tmp_path: Path) -> None:
    options = {"venues": {"bybit": {"redundancy": 2}}}

    load(tmp_path, "[venues.bybit]\nenabled = true", {"LIQTAPE_VENUES_BYBIT_SYMBOLS": "BTCUSDT"}, options)

    assert options == {"venues": {"bybit": {"redundancy": 2}}}


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("sybols = []", ["unknown key sybols", "allowed: symbols, venues, redis"]),
        ("[redis]\nurk = 1", ["redis", "unknown key urk", "allowed: url, prefix, persist"]),
        ("[venues.bybit]\nfoo = 1", ["venues.bybit", "unknown key foo", "allowed: enabled, ws_url"]),
        ("[venues.bibit]", ["unknown venue 'bibit'", f"known: {', '.join(sorted(VENUES))}"]),
        ("venues = 3", ["venues", "expected a section"]),
        ('redis = "off"', ["redis: expected a section"]),
        ('[history]\nurl = "mysql://x"', ["history: url must be a directory, off, or begin with postgresql://"]),
        ('[history]\nurl = " "', ["history: url must be a directory, off, or begin with postgresql://"]),
        ("[history]\nretention_gb = 0", ["history: retention_days and retention_gb must be above 0"]),
        ("[history]\nretention_days = nan", ["history: retention_days and retention_gb must be above 0"]),
        ('[history]\nsynchronous = "OFF"', ["history.synchronous: Invalid enum value 'OFF'"]),
        ('symbols = "BTCUSDT"', ["symbols: expected a list"]),
        ("symbols = [1]", ["symbols[0]: expected text"]),
        ('symbols = [""]', ["symbols must not contain an empty name"]),
        ("[redis]\nurl = 5", ["redis.url: expected text"]),
        ("[redis]\npersist = 1", ["redis.persist: expected true or false"]),
        ('[redis]\npersist = "true"', ["redis.persist: expected true or false"]),
        ('[redis]\nurl = "http://x"', ["redis: url must be embedded, off, or begin with redis://"]),
        ('[venues.bybit]\nredundancy = "2"', ["venues.bybit: redundancy: expected a whole number"]),
        ("[venues.bybit]\nredundancy = 2.0", ["venues.bybit: redundancy: expected a whole number"]),
        ("[venues.bybit]\nredundancy = 5", ["venues.bybit: redundancy must be 1 to 4"]),
        ("[venues.bybit]\nredundancy = 0", ["venues.bybit: redundancy must be 1 to 4"]),
        ('[venues.bybit]\nws_url = "http://x"', ["venues.bybit: ws_url must begin with ws:// or wss://"]),
        ('[venues.bybit]\nrest_url = "ws://x"', ["venues.bybit: rest_url must begin with http:// or https://"]),
        ("[venues.bybit]\naccounts = 'x'", ["venues.bybit: accounts: expected a list"]),
        ("[venues.bybit]\naccounts = ['']", ["venues.bybit: accounts must not contain an empty name"]),
        (
            "[cascades]\ndetectors = ['entropy']",
            ["cascades: unknown detector 'entropy'; there are return_pe"],
        ),
        ("[cascades]\ndetectors = ['cusum', 'cusum']", ["cascades: detectors must not name one twice"]),
        ("[cascades]\ncusum = 0", ["cascades: cusum must be above 0"]),
        ("[alerts]\nvelocity_10s = 0", ["alerts: velocity_10s and acceleration must be above 0"]),
        ("[alerts]\nrule = 'loud'", ["alerts.rule: ", "loud"]),
        ("[alerts]\nacceleration_form = 'cubic'", ["alerts.acceleration_form: ", "cubic"]),
        ("[alerts]\nwatch = 1", ["alerts: watch, alert and critical must be above 1"]),
        ("[alerts]\nwatch = 5", ["alerts: watch, alert and critical must be above 1", "in this order"]),
        ("[alerts]\ncritical = inf", ["alerts: watch, alert and critical must be above 1, at most 300"]),
        ("[alerts]\nalert_count = 0", ["alerts: alert_count must be at least 1"]),
        ("[alerts]\nfloor_usd = nan", ["alerts: floor_usd and each of floors_usd must be"]),
        ("[alerts.floors_usd]\nBTCUSDT = -1", ["alerts: floor_usd and each of floors_usd must be"]),
        ("[alerts.floors_usd]\n'' = 1", ["alerts: floors_usd must not contain an empty name"]),
        ("[alerts]\nfloors_usd = 3", ["alerts.floors_usd: expected a section"]),
        ("[alerts]\nacceleration = nan", ["alerts: velocity_10s and acceleration must be above 0"]),
        ('[alerts]\nacceleration = "2"', ["alerts.acceleration: expected a number"]),
    ],
)
def test_bad_file_is_refused_with_place_key_and_what_is_allowed(tmp_path: Path, toml: str, said: list[str]) -> None:
    text = refusal(tmp_path, toml)

    assert text.startswith(f"file {tmp_path / 'liqtape.toml'}: ")
    for words in said:
        assert words in text


@pytest.mark.parametrize(
    ("variable", "text", "said"),
    [
        ("LIQTAPE_FOO", "1", "environment: LIQTAPE_FOO is not a setting; there are LIQTAPE_SYMBOLS, LIQTAPE_VENUES_"),
        ("LIQTAPE_VENUES_BYBIT", "1", "environment: LIQTAPE_VENUES_BYBIT is not a setting"),
        ("LIQTAPE_VENUES", "1", "environment: LIQTAPE_VENUES is not a setting"),
        ("LIQTAPE_REDIS", "off", "environment: LIQTAPE_REDIS is not a setting"),
        ("LIQTAPE_VENUES_BYBIT_ENABLED", "perhaps", "LIQTAPE_VENUES_BYBIT_ENABLED: expected true or false"),
        ("LIQTAPE_VENUES_BYBIT_REDUNDANCY", "two", "LIQTAPE_VENUES_BYBIT_REDUNDANCY: expected a whole number"),
        ("LIQTAPE_VENUES_BYBIT_REDUNDANCY", "7", "environment: venues.bybit: redundancy must be 1 to 4"),
        ("LIQTAPE_VENUES_FOO_ENABLED", "1", "environment: venues: unknown venue 'foo'; known: binance"),
        (
            "LIQTAPE_ALERTS_FLOORS_USD",
            "BTCUSDT",
            "environment: LIQTAPE_ALERTS_FLOORS_USD: write it as in BTCUSDT=500000,ETHUSDT=200000",
        ),
        ("LIQTAPE_ALERTS_VELOCITY_10S", "nan", "environment: alerts: velocity_10s and acceleration must be above 0"),
        ("LIQTAPE_REDIS_URL", "", "environment: redis: url must be embedded"),
    ],
)
def test_bad_variable_is_refused_with_what_is_wrong(tmp_path: Path, variable: str, text: str, said: str) -> None:
    assert said in refusal(tmp_path, environ={variable: text})


@pytest.mark.parametrize(
    ("venue", "accounts", "said"),
    [
        ("hyperliquid", [ACCOUNT[:-1]], f"'{ACCOUNT[:-1]}' is not an account: 0x and 40 hexadecimal digits"),
        ("hyperliquid", [f"0x{i:040x}" for i in range(11)], "11 accounts to watch; the venue allows 10"),
        ("bybit", [ACCOUNT], "bybit prints its liquidations, no account is watched; only at hyperliquid"),
    ],
    ids=["malformed", "too many", "a venue that watches none"],
)
def test_accounts_that_cannot_be_watched_are_refused_with_their_place(
    tmp_path: Path, venue: str, accounts: list[str], said: str
) -> None:
    path = tmp_path / "liqtape.toml"
    path.write_text(f"[venues.{venue}]\naccounts = {accounts}")
    variable = {f"LIQTAPE_VENUES_{venue.upper()}_ACCOUNTS": ",".join(accounts)}
    tree = {"venues": {venue: {"accounts": accounts}}}
    given: list[tuple[str, Path | None, dict[str, str], dict[str, Any]]] = [
        (f"file {path}", path, {}, {}),
        ("environment", None, variable, {}),
        ("options", None, {}, tree),
    ]
    for place, file, environ, options in given:
        with pytest.raises(ConfigurationError) as caught:
            load_settings(file, environ, options, KNOWN, watched)
        assert str(caught.value).startswith(f"{place}: venues.{venue}: accounts: ")
        assert said in str(caught.value)


def test_ten_accounts_in_any_case_can_be_watched() -> None:
    accounts = tuple(f"0x{i:040X}" for i in range(10, 20))

    settings = load_settings(None, {"LIQTAPE_VENUES_HYPERLIQUID_ACCOUNTS": ",".join(accounts)}, {}, KNOWN, watched)

    assert settings.venues["hyperliquid"].accounts == accounts


def test_settings_file_is_the_named_then_that_of_the_environment_then_the_usual(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    environ = {"LIQTAPE_CONFIG": "other.toml"}

    assert settings_file(Path("named.toml"), environ) == Path("named.toml")
    assert settings_file(None, environ) == Path("other.toml")
    assert settings_file(None, {}) is None
    (tmp_path / "liqtape.toml").touch()
    assert settings_file(None, {}) == Path("liqtape.toml")


def test_variables_are_named_without_their_values() -> None:
    environ = {"LIQTAPE_REDIS_URL": SECRET, "LIQTAPE_SYMBOLS": "", "LIQTAPE_CONFIG": "x", "PATH": "/"}

    assert variables_in(environ) == ["LIQTAPE_REDIS_URL", "LIQTAPE_SYMBOLS"]


def test_variables_that_are_no_settings_are_left_alone(tmp_path: Path) -> None:
    environ = {"LIQTAPE_CONFIG": "x.toml", "LIQTAPE_REQUIRE_SERVERS": "1", "PATH": "/bin"}

    assert load(tmp_path, environ=environ) == Settings()


def test_nested_dictionaries_are_sections() -> None:
    given = Settings(
        symbols=["BTCUSDT"],  # type: ignore[arg-type]
        venues={"okx": {"redundancy": 2, "symbols": ["ETHUSDT"]}},  # type: ignore[dict-item]
        redis={"url": "embedded"},  # type: ignore[arg-type]
        alerts={"floors_usd": {"BTCUSDT": 5}},  # type: ignore[arg-type]
    )

    assert given == Settings(
        ("BTCUSDT",),
        {"okx": VenueSettings(redundancy=2, symbols=("ETHUSDT",))},
        RedisSettings("embedded"),
        AlertSettings(floors_usd={"BTCUSDT": 5.0}),
    )
    assert isinstance(given.venues["okx"].symbols, tuple)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"redis": {"ur": "off"}}, "redis: unknown key ur; allowed: url, prefix, persist"),
        ({"redis": {"url": 5}}, "redis: url: expected text, got int"),
        ({"redis": {"url": "http://x"}}, "redis: url must be embedded, off"),
        ({"redis": "off"}, "redis: expected RedisSettings or a dictionary, got str"),
        ({"redis": None}, "redis: expected RedisSettings or a dictionary, got NoneType"),
        ({"history": AlertSettings()}, "history: expected HistorySettings or a dictionary, got AlertSettings"),
        ({"venues": ["okx"]}, "venues: expected a section for each venue, got list"),
        ({"venues": {"okx": {"enabled": "no"}}}, "venues.okx: enabled: expected true or false, got str"),
        ({"venues": {"okx": VenueSettings(enabled="no")}}, "venues.okx: enabled: expected true or false"),  # type: ignore[arg-type]
        ({"venues": {"okx": True}}, "venues.okx: expected VenueSettings or a dictionary, got bool"),
        ({"alerts": {"rule": "mine"}}, "alerts: rule: "),
        ({"price": {"always": 1}}, "price: always: expected true or false"),
    ],
)
def test_what_no_section_can_be_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings(**given)

    assert str(caught.value).startswith(said)


def test_load_reads_file_and_environment_as_the_commands_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in variables_in():
        monkeypatch.delenv(name)
    monkeypatch.delenv("LIQTAPE_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    assert Settings.load() == Settings()
    assert Settings.load().redis.url == "off"

    (tmp_path / "liqtape.toml").write_text(
        'symbols = ["BTCUSDT"]\n[redis]\nprefix = "file:"\n[venues.okx]\nenabled = false'
    )
    (tmp_path / "other.toml").write_text('[redis]\nurl = "redis://other/2"')
    monkeypatch.setenv("LIQTAPE_REDIS_PREFIX", "environment:")
    loaded = Settings.load()
    assert loaded == load_settings(settings_file(None), known_venues=KNOWN)
    assert (loaded.symbols, loaded.redis) == (("BTCUSDT",), RedisSettings(prefix="environment:"))
    assert [name for name, own in loaded.venues.items() if own.enabled] == [
        name for name in Settings().venues if name != "okx"
    ]

    assert Settings.load("other.toml").redis == RedisSettings("redis://other/2", "environment:")
    assert Settings.load(tmp_path / "other.toml", {}).redis.prefix == ""
    monkeypatch.setenv("LIQTAPE_CONFIG", "other.toml")
    assert Settings.load().redis.url == "redis://other/2"
    assert Settings.load(options={"redis": {"url": "off"}}).redis.url == "off"

    monkeypatch.setenv("LIQTAPE_REDIS_URL", "http://x")
    with pytest.raises(ConfigurationError, match="environment: redis: url must be embedded, off"):
        Settings.load()
    monkeypatch.setenv("LIQTAPE_CONFIG", "absent.toml")
    with pytest.raises(ConfigurationError, match=r"cannot read absent\.toml"):
        Settings.load()


def test_commands_take_the_embedded_server_where_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "liqtape.toml").write_text("[redis]\npersist = true")

    def url(environ: dict[str, str]) -> str:
        return load_settings(tmp_path / "liqtape.toml", environ, defaults=COMMAND_DEFAULTS).redis.url

    assert url({}) == "embedded"
    assert url({"LIQTAPE_REDIS_URL": "off"}) == "off"
    assert COMMAND_DEFAULTS == {"redis": {"url": "embedded"}, "web": {"listen": "127.0.0.1:8787"}}


def test_settings_show_what_differs_from_the_defaults() -> None:
    assert repr(Settings()) == "Settings()"
    assert repr(Settings(redis=RedisSettings(f"redis://:{SECRET}@db/1"))) == (
        "Settings(redis=RedisSettings(url='redis://***@db/1'))"
    )


def test_bad_option_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, options={"redis": {"url": None}}).startswith("options: redis.url: expected text")


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        (b"a = 1\nb = \n", "line 2"),
        (b'a = 1\n\nb = "\xff"\n', "not UTF-8 (at line 3)"),
        (b"a = 1\na = 2\nb = 3\n", "line 2"),
    ],
    ids=["no value", "not UTF-8", "twice"],
)
def test_what_is_not_toml_is_refused_with_its_line(tmp_path: Path, toml: bytes, said: str) -> None:
    text = refusal(tmp_path, toml)

    assert str(tmp_path / "liqtape.toml") in text
    assert said in text


def test_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot read .*absent\.toml: No such file"):
        load_settings(tmp_path / "absent.toml", {})
    with pytest.raises(ConfigurationError, match="cannot read"):
        load_settings(tmp_path, {})


@pytest.mark.parametrize(
    "url",
    [
        f"redis://:{SECRET}@db.example:6379/1",
        f"rediss://user:{SECRET}@db.example/1",
        f"redis://user:x@{SECRET}@db.example/1",
        f"redis://db.example/1?db=2&password={SECRET}",
        f"unix://user:{SECRET}@/run/redis.sock?password={SECRET}",
    ],
)
def test_password_is_never_shown(tmp_path: Path, url: str) -> None:
    settings = load(tmp_path, environ={"LIQTAPE_REDIS_URL": url})
    out = io.StringIO()
    Console(file=out, width=200).print(settings, settings.redis)

    assert settings.redis.url == url
    for text in (repr(settings), str(settings), f"{settings.redis}", out.getvalue()):
        assert SECRET not in text
        assert "***" in text
    assert SECRET not in refusal(tmp_path, environ={"LIQTAPE_REDIS_URL": "http" + url})
    assert SECRET not in refusal(tmp_path, f'[redis]\nurl = "{url}"\nfoo = 1')


def test_symbols_given_as_one_text_are_refused() -> None:
    with pytest.raises(TypeError, match="list of names"):
        Settings(symbols="BTCUSDT")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="above 0"):
        AlertSettings(velocity_10s=float("nan"))


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="files have no owner here")
@pytest.mark.parametrize(("mode", "is_read"), [(0o600, True), (0o644, True), (0o646, False), (0o666, False)])
def test_a_file_here_that_others_may_write_is_not_read_unless_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, mode: int, *, is_read: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "liqtape.toml"
    path.write_text('[redis]\nurl = "redis://elsewhere/2"')
    path.chmod(mode)

    assert settings_file(None, {}) == (Path("liqtape.toml") if is_read else None)
    assert (Settings.load(environ={}).redis.url == "redis://elsewhere/2") is is_read
    assert Settings.load("liqtape.toml", environ={}).redis.url == "redis://elsewhere/2"
    assert [f"{path} is not read: others may write it" in text for text in caplog.messages] == [True] * 2 * (
        not is_read
    )


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="files have no owner here")
@pytest.mark.parametrize("group", [True, False], ids=["own group", "another"])
def test_a_file_here_may_be_written_by_a_group_that_is_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, group: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "liqtape.toml"
    path.touch()
    path.chmod(0o664)
    owned_by = path.stat().st_gid
    monkeypatch.setattr(os, "getegid", lambda: owned_by if group else owned_by + 1)

    assert (settings_file(None, {}) is not None) is group


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="files have no owner here")
def test_a_file_here_of_somebody_else_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "liqtape.toml").touch()
    monkeypatch.setattr(os, "geteuid", lambda: 12_345)

    assert settings_file(None, {}) is None
    assert "belongs to another user; name it with --config or LIQTAPE_CONFIG" in caplog.text
