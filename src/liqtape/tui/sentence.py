"""The sentence and the strip: is a cascade going on, who, how big, since when, and can it be trusted."""

import re
from collections.abc import Sequence
from datetime import UTC, tzinfo

from rich.text import Text

from liqtape.events import VenueHealth
from liqtape.sanitize import sanitize
from liqtape.tui.apirecords import SeenNow
from liqtape.tui.flow import flowed
from liqtape.tui.forecastline import forecast_line
from liqtape.tui.instrumentcolumns import return_period, times
from liqtape.tui.strips import SIDE_STYLES
from liqtape.tui.wording import ALARM_STYLE, LEVEL_STYLES, NOTHING, age, clock, duration, usd

__all__ = ["gone_line", "sentence_lines", "strip_line"]

_COIN = re.compile(r"^(.+?)(USDT|USDC|USD)(_.*)?$")
_WARM_MS = 300_000
_WIDE = 100
_BAD = "bold red"


def sentence_lines(now: SeenNow, leaders: Sequence[str], width: int, lines: int, zone: tzinfo = UTC) -> list[Text]:
    """Return the sentence in so many lines; `leaders` are the instruments with the most USD."""
    is_raised = now.level != "NONE"
    parts = [Text().append(now.level, style=LEVEL_STYLES[now.level]) if is_raised else Text("calm")]
    if is_raised and now.since_ms is not None:
        parts[0].append(f" since {clock(now.since_ms, zone)}")
    usual = "" if now.times_usual is None else f", {times(now.times_usual)} the usual minute"
    size = Text(f"{usd(now.usd_60s)} USD in 60 s{usual}")
    if is_raised:
        parts += [_who(now, leaders), size]
        if now.return_days is not None:
            is_rough = bool(now.trust.is_learning) or now.return_days > (now.trust.watched_days or 0.0)
            parts.append(Text(f"so much once in {return_period(now.return_days, is_rough=is_rough)}"))
    else:
        parts += [Text(f"{now.velocity_60s:.1f} liquidations/s over {now.instruments_active:,} instruments"), size]
    if now.lead is not None:
        parts.append(Text(f"{sanitize(now.lead.venue)} leads by {now.lead.lead_ms / 1000:.1f} s"))
    if now.btc_price is not None:
        parts.append(Text(f"BTC {now.btc_price:,.1f}"))
    if now.forecast:
        parts.append(Text(sanitize(forecast_line(now.forecast)), style="dim"))
    return flowed(parts, width, lines)


def _who(now: SeenNow, leaders: Sequence[str]) -> Text:
    coins = dict.fromkeys(map(_coin, leaders))  # BTCUSDT and BTCUSDC are one name to a reader
    who = Text(", ".join(list(coins)[:3]))
    word = {"long": "longs", "short": "shorts", "both": "longs and shorts"}.get(now.side or "", "")
    return who.append(f" {word}" if word else "", style=SIDE_STYLES.get(now.side or "", ""))


def _coin(symbol: str) -> str:
    found = _COIN.match(symbol)
    return sanitize(found.group(1) if found else symbol, 20)


def strip_line(now: SeenNow, silent_seconds: float, width: int) -> Text:
    """Return whether what is shown can be trusted."""
    trust = now.trust
    trouble = ", ".join(map(_trouble, trust.troubled))
    venues = Text(f"{trust.venues_live} of {trust.venues_total} venues{f': {trouble}' if trouble else ''}")
    venues.stylize(_BAD if trust.venues_live < trust.venues_total else "")
    covered = trust.coverage.coverage_60s
    parts = [Text(now.mode.upper(), style="bold reverse")] if now.mode != "live" else []
    parts.append(venues)
    if trust.warmup_ms < _WARM_MS:
        parts.append(Text(f"warming up {duration(trust.warmup_ms / 1000)} of 5:00", style="yellow"))
    else:
        said = f"{NOTHING if covered is None else int(100 * covered)} % covered"
        parts.append(Text(said, style="" if covered == 1 else "yellow"))
    old = None if trust.age_seconds is None else trust.age_seconds + silent_seconds
    if old is not None or now.mode != "replay":  # a past has no newest data
        parts.append(Text(f"data {age(old)} old" if old is not None else "no data yet"))
    if not trust.is_balanced:
        parts.insert(0, Text("THE LEDGER DOES NOT ADD UP", style=ALARM_STYLE))
    if trust.failing:
        parts.append(Text(f"not written: {', '.join(map(sanitize, trust.failing))}, see the log", style=ALARM_STYLE))
    if trust.throttled:
        said = ": at most 1/s shown" if width >= _WIDE else ""
        parts.append(Text(f"≥ {', '.join(map(sanitize, trust.throttled))}{said}", style="dim"))
    if trust.is_learning:
        parts.append(Text(f"learning, {trust.watched_days or 0.0:.1f} of 7 d", style="dim"))
    return flowed(parts, width)[0]


def _trouble(venue: VenueHealth) -> str:
    last = "" if venue.last_data_age_s is None else f" {age(venue.last_data_age_s)}"
    return f"{sanitize(venue.venue)} {sanitize(venue.state)}{last}"


def gone_line(silent_seconds: float, as_of_ms: int, reason: str, width: int, zone: tzinfo = UTC) -> Text:
    """Return the bar over a view of which nothing was heard for a while."""
    said = f" no word from liqtape for {duration(silent_seconds)}; this was true at {clock(as_of_ms, zone)}"
    line = Text(f"{said}; trying again{f' ({sanitize(reason)})' if reason else ''} ", style=ALARM_STYLE)
    line.truncate(width, overflow="ellipsis", pad=True)
    return line
