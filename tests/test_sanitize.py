"""What strangers send, and what must stay secret, on the way to a terminal or a log."""

import asyncio
import io
import json
import logging
import traceback
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from websockets.asyncio.server import ServerConnection, serve

from liqtape.cli import app
from liqtape.cli.foreground import StopSignals, watch
from liqtape.cli.logs import LogLines
from liqtape.errors import ConfigurationError, SinkError
from liqtape.feeds.disconnects import Disconnected, printable
from liqtape.postgresql import check_url
from liqtape.sanitize import sanitize, without_credentials, without_secrets
from liqtape.settings import (
    AlertSettings,
    HistorySettings,
    PriceSettings,
    RedisSettings,
    Settings,
    VenueSettings,
    load_settings,
)
from liqtape.sinks.redis.redissink import RedisSink
from liqtape.tracker import Tracker

EVIL = "\x1b[2J\x1b]0;owned\x07\r\n\u202eDTH\u2028\x9b31m\x00"
MARK = "Zq9"  # what a password is known by, at its beginning and its end
NOWHERE = "ws://127.0.0.1:9"


@given(st.text())
def test_any_text_becomes_one_line_that_moves_nothing(text: str) -> None:
    assert sanitize(text).isprintable()
    assert len(sanitize(text, 10)) <= 10
    assert printable(text.encode(errors="replace")).isprintable()
    assert str(Disconnected("x", text)).isprintable()


@given(st.text(alphabet=st.characters(categories=["L", "N", "P", "Zs"])))
def test_words_that_are_fit_stay(text: str) -> None:
    assert sanitize(text, 10_000) == "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))


odd = st.text(
    st.one_of(st.sampled_from("@/?#:&=%;[] \\'\"\n\t"), st.characters(exclude_categories=["Cs"])), max_size=12
)


@settings(max_examples=50)
@given(odd, st.sampled_from(["redis", "rediss", "unix", "postgresql", "postgres", "http"]), st.booleans())
def test_no_password_however_odd_is_shown(middle: str, scheme: str, encoded: bool) -> None:
    secret = f"{MARK}{quote(middle, safe='') if encoded else middle}{MARK}"
    urls = [
        f"{scheme}://:{secret}@db.example:6379/1",
        f"{scheme}://me:{secret}@db.example",
        f"{scheme}://db.example/1?db=1&password={secret}",
        f"{scheme}://me:{secret}@/path?password={secret}&sslpassword={secret}",
    ]
    if "@" not in secret:  # what stands behind the last one would be the host, and nobody can tell otherwise
        urls.append(f"{scheme}://:{secret}")
    for url in urls:
        assert MARK not in without_secrets(url)
        told: list[str] = []
        for section, kind in (("redis", RedisSettings), ("history", HistorySettings)):
            written = ({"url": url}, {"url": [url]}, {"url": url, "urI": url})
            told += [_told(load_settings, None, {}, {section: keys}) for keys in written]
            told.append(_told(load_settings, None, {f"LIQTAPE_{section.upper()}_URL": url}))
            told.append(_told(kind, url))
        told += [_told(RedisSink, url), _told(check_url, url)]
        assert [text for text in told if MARK in text] == []


def _told(work: Callable[..., object], *arguments: object) -> str:
    """All ways a value, or the error instead of it, is shown."""
    out = io.StringIO()
    try:
        value = work(*arguments)
    except (ConfigurationError, ValueError):
        return traceback.format_exc()
    Console(file=out, width=500).print(value)
    return f"{value!r} {value} {out.getvalue()}"


@given(odd)
def test_a_postgres_address_with_a_slash_too_few_is_no_directory(secret: str) -> None:
    with pytest.raises(ValueError, match="begin with postgresql") as refused:
        HistorySettings(f"postgresql:/me:{MARK}{secret}@db.example/liqtape")

    assert MARK not in str(refused.value)


@given(odd)
def test_credentials_of_a_venues_proxy_are_not_shown(middle: str) -> None:
    secret = f"{MARK}{quote(middle, safe='')}{MARK}"
    ws, rest = f"wss://me:{secret}@proxy.example:1/binance", f"https://me:{secret}@proxy.example"
    shown = Settings(venues={"binance": VenueSettings(ws_url=ws, rest_url=rest)}, price=PriceSettings(ws))

    assert MARK not in _told(Settings, (), shown.venues, RedisSettings(), AlertSettings(), shown.price) + repr(
        shown.venues
    )
    assert MARK not in without_credentials(f"cannot connect to {ws} or {rest}: refused")
    with pytest.raises(ValueError, match="percent-encoded") as refused:
        VenueSettings(ws_url=f"wss://me:{MARK}/{MARK}@proxy.example")
    assert MARK not in str(refused.value)


async def test_a_feed_that_cannot_connect_tells_no_credentials(caplog: pytest.LogCaptureFixture) -> None:
    venue = VenueSettings(ws_url=f"ws://me:{MARK}@127.0.0.1:9", rest_url=f"http://me:{MARK}@127.0.0.1:9")
    caplog.set_level(logging.DEBUG, "liqtape")
    tracker = Tracker(Settings(venues={"bybit": venue}, redis=RedisSettings("off"), price=PriceSettings(NOWHERE)))
    async with tracker:
        async with asyncio.timeout(15):
            while not (tracker.feeds[0].listing_error and tracker.health()[0].reconnects):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        shown = repr(tracker.feeds[0].connections) + str(tracker.health()) + str(tracker.feeds[0].listing_error)

    assert "127.0.0.1" in shown
    assert MARK not in shown + caplog.text


async def test_a_venue_cannot_write_on_the_terminal_or_into_the_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Escapes in the symbol, the side, the refusal, an answer, an undecodable frame, the reason of the close frame."""
    row = {"T": 1_790_000_000_000, "s": f"BTC{EVIL}USDT", "S": "Buy", "v": "1", "p": "80000"}
    frames = [
        json.dumps({"success": False, "ret_msg": EVIL, "op": "subscribe", "req_id": ""}),
        json.dumps({"topic": f"allLiquidation.{EVIL}", "type": "snapshot", "ts": row["T"], "data": [row]}),
        json.dumps({"topic": "allLiquidation.X", "type": "snapshot", "ts": row["T"], "data": [row | {"S": EVIL}]}),
        json.dumps({"op": EVIL, "topic": EVIL}),
        EVIL,
    ]

    async def talk(peer: ServerConnection) -> None:
        async for question in peer:
            if "req_id" in (asked := json.loads(question)):
                await peer.send(frames[0].replace('"req_id": ""', json.dumps({"req_id": asked["req_id"]})[1:-1]))
            for frame in frames[1:]:
                await peer.send(frame)
            await peer.close(1013, EVIL[:20])
            return

    lines = io.StringIO()
    shown = logging.StreamHandler(lines)
    shown.setFormatter(LogLines("%(levelname)s %(name)s: %(message)s"))
    monkeypatch.setattr(logging.getLogger("liqtape"), "handlers", [shown])
    caplog.set_level(logging.DEBUG, "liqtape")
    out = io.StringIO()
    async with serve(talk, "127.0.0.1", 0, close_timeout=0.2) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        venue = VenueSettings(ws_url=f"ws://127.0.0.1:{port}", rest_url="http://127.0.0.1:9")
        against = Settings(
            symbols=("BTCUSDT",),
            venues={"bybit": venue},
            redis=RedisSettings("off"),
            price=PriceSettings(NOWHERE),
        )
        async with Tracker(against) as tracker:
            await watch(tracker, StopSignals(), 3.0, [EVIL], out)
            said = [tracker.health()[0].detail, *(str(c.status.reason) for c in tracker.feeds[0].connections)]

    assert "owned" in out.getvalue()
    messages = [record.getMessage() for record in caplog.records if record.name.startswith("liqtape")]
    assert len(messages) > 2
    for text in (out.getvalue(), lines.getvalue(), *messages, *said):
        assert [line for line in text.split("\n") if not line.isprintable()] == []


def test_an_error_that_quotes_a_stranger_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert app._refused(SinkError(f"refused: {EVIL}")) == 1

    told = capsys.readouterr().err
    assert told.endswith("\n")
    assert told[:-1].isprintable()


def test_a_traceback_that_quotes_a_stranger_keeps_its_lines_and_no_escape(tmp_path: Path) -> None:
    record = logging.LogRecord("liqtape", logging.ERROR, str(tmp_path), 1, "failed: %s", (EVIL,), None)
    try:
        raise ValueError(EVIL)
    except ValueError as error:
        record.exc_info = (ValueError, error, error.__traceback__)

    lines = LogLines("%(message)s").format(record).split("\n")

    assert all(line.isprintable() for line in lines)
    assert lines[1].startswith("Traceback")
    assert lines[2].startswith("  File ")
