"""A picture of a span: price with liquidations, USD by side, velocity with its error, levels and gaps."""

from collections.abc import Sequence
from datetime import UTC, tzinfo
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from liqtape.errors import ConfigurationError, MissingExtra
from liqtape.history.query.rowsource import ArrowRows
from liqtape.history.query.steps import edges
from liqtape.history.query.streams import Selection
from liqtape.history.query.totals import PastStreams, Peak, highest_of_steps

if TYPE_CHECKING:
    import pyarrow as pa

    from liqtape.history.query.query import History

__all__ = ["save_plot"]

_SIDES = {"long": "#c8402f", "short": "#23876b", None: "#7a7f8c"}
_LINE, _MUTED, _GAP = "#2b3a55", "#8a94a6", "#9aa3b2"
_LEVELS = {"WATCH": "#f2d16b", "ALERT": "#ee9a45", "CRITICAL": "#d6453d", "EXTREME": "#8e2463"}
_DAY_MS = 86_400_000  # the unit of matplotlib's dates
_STEPS, _BARS, _LINE_POINTS = 400, 120, 2_000
_MOST_MARKS = 4_000
_LARGEST_MARK, _SMALLEST_MARK = 600.0, 5.0  # square points
_SILENCE_MS = 60_000  # across more the line would claim a price nobody saw


def save_plot(
    past: "History", file: Path, span: tuple[int, int], selection: Selection, window: int, zone: tzinfo = UTC
) -> None:
    """Draw (from, until] of an instrument, a venue or the market into `file`, whose name decides the format.

    The velocity is the highest within each step, so that a long span hides no burst.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtra(f"{file}: a plot", "analysis") from None
    if file.suffix.lower().removeprefix(".") not in FigureCanvasAgg.get_supported_filetypes():
        raise ConfigurationError(f"{file}: no picture is called so; end the name in .png, .svg or .pdf")
    figure = Figure(figsize=(12, 7.5), layout="constrained", dpi=110)
    axes = price, usd, velocity = figure.subplots(3, 1, sharex=True, height_ratios=[5, 1.5, 2.5])
    step = max(1, -(-(span[1] - span[0]) // (1000 * _STEPS)))
    events = past.events(*span, **selection)
    _draw_price(price, past.prices(*span), events, selection)
    _draw_usd(usd, events, span)
    asked = selection["instrument"], selection["venue"]
    peaks = highest_of_steps(PastStreams(ArrowRows(past.source), span, asked, None, window), edges(*span, step), window)
    _draw_velocity(velocity, peaks, (window, step))
    _draw_levels(velocity, past.levels(*span, **selection, every=step), step)
    _hatch_dark(axes, peaks)
    _shade_gaps(axes, past.gaps(*span), events, span)
    _dress(axes, span, f"{asked[0] or 'All instruments'}, {asked[1] or 'all venues'}", zone)
    _explain(figure, axes)
    figure.savefig(file)


def _explain(figure: Any, axes: Any) -> None:
    """One legend below all, where it hides nothing."""
    handles = {label: handle for one in axes for handle, label in zip(*one.get_legend_handles_labels(), strict=True)}
    legend = figure.legend(
        handles.values(), handles, loc="outside lower center", ncols=len(handles), fontsize=8, frameon=False
    )
    for handle in legend.legend_handles:
        if hasattr(handle, "set_sizes"):
            handle.set_sizes([40])


def _days(at_ms: Any) -> Any:
    return np.asarray(at_ms) / _DAY_MS


def _draw_price(axes: Any, bars: "pa.Table", events: "pa.Table", selection: Selection) -> None:
    """The price, and a mark for each liquidation: at its own price, or on BTC's where instruments are mixed."""
    times, closes = bars["bar_ms"].to_numpy() + 1000, bars["close"].to_numpy()
    at_ms, own = events["event_ms"].to_numpy(), events["price"].to_numpy()
    instrument = selection["instrument"]
    if instrument is None or instrument.startswith("BTC"):
        axes.set_ylabel("BTC, USD")
    else:
        axes.set_ylabel(f"{instrument}, price of liquidations")
        times, closes = at_ms, own
    if len(times):
        own = np.where(np.isnan(own) | (instrument is None), np.interp(at_ms, times, closes), own)
    each = max(1, len(times) // _LINE_POINTS)
    times, closes = times[::each], closes[::each]
    broken = np.where(np.diff(times, append=times[-1:]) > max(_SILENCE_MS, 3000 * each), np.nan, closes)
    axes.plot(_days(times), closes, color=_MUTED, linewidth=0.8, linestyle=":", zorder=1)
    axes.plot(_days(times), broken, color=_LINE, linewidth=1.0, zorder=2, label="price")
    amounts = np.nan_to_num(events["notional_usd"].to_numpy())
    largest = np.sort(np.argsort(amounts)[-_MOST_MARKS:])
    areas = np.maximum(_SMALLEST_MARK, _LARGEST_MARK * amounts / max(1.0, amounts.max(initial=0.0)))
    sides = np.array(events["side"].to_pylist(), object)
    for side, color in _SIDES.items():
        chosen = largest[sides[largest] == side]
        if len(chosen):
            axes.scatter(
                *(_days(at_ms[chosen]), own[chosen], areas[chosen]),
                color=color,
                alpha=0.55,
                linewidth=0.4,
                edgecolor="white",
                zorder=3,
                label=f"{side or 'side unknown'} closed",
            )
    shown = f"{len(at_ms):,} liquidations" + (
        f", the largest {_MOST_MARKS:,} shown" if len(at_ms) > _MOST_MARKS else ""
    )
    axes.set_title(f"{shown}; largest {amounts.max(initial=0.0):,.0f} USD", loc="right", color=_MUTED, fontsize=9)


def _draw_usd(axes: Any, events: "pa.Table", span: tuple[int, int]) -> None:
    """Longs upwards, shorts downwards."""
    at_ms, amounts = events["event_ms"].to_numpy(), np.nan_to_num(events["notional_usd"].to_numpy())
    sides = np.array(events["side"].to_pylist(), object)
    edges = np.linspace(*span, _BARS + 1)
    for side, sign in (("long", 1), ("short", -1)):
        total, _ = np.histogram(at_ms[sides == side], edges, weights=amounts[sides == side])
        width = (span[1] - span[0]) / _BARS / _DAY_MS
        axes.bar(_days(edges[:-1]), sign * total, width, align="edge", color=_SIDES[side], linewidth=0)
    axes.axhline(0, color=_MUTED, linewidth=0.6)
    axes.set_ylabel("USD")
    axes.yaxis.set_major_formatter(lambda value, _: _short(abs(value)))


def _draw_velocity(axes: Any, peaks: "Sequence[Peak]", asked: tuple[int, int]) -> None:
    """The highest velocity of each step, within one and two standard errors."""
    window, step = asked
    times = _days([peaks[0].from_ms, *(peak.until_ms for peak in peaks)])
    counts = np.array([np.nan if peak.count is None else peak.count for peak in peaks], float)
    counts = np.concatenate([counts[:1], counts])
    rate, error = counts / window, np.sqrt(counts) / window
    for width, alpha in ((2, 0.15), (1, 0.25)):
        low, high = np.maximum(0, rate - width * error), rate + width * error
        axes.fill_between(times, low, high, color=_LINE, alpha=alpha, lw=0, step="pre")
    label = f"velocity over {window} s, highest in each {step} s, within 1 and 2 standard errors"
    axes.plot(times, rate, color=_LINE, linewidth=1.1, drawstyle="steps-pre", label=label)
    axes.set_ylabel("liquidations/s")
    axes.set_ylim(bottom=0)


def _hatch_dark(axes: Any, peaks: "Sequence[Peak]") -> None:
    """Where nobody watched."""
    label: str | None = "nobody watched"
    for is_dark, spell in groupby(peaks, key=lambda peak: peak.count is None):
        parts = list(spell)
        if is_dark:
            ends = _days([parts[0].from_ms, parts[-1].until_ms])
            for one in axes:
                one.axvspan(*ends, facecolor="none", edgecolor=_GAP, hatch="///", linewidth=0, zorder=0, label=label)
            label = None


def _draw_levels(axes: Any, rows: "pa.Table", step: int) -> None:
    """A strip along the top where a level was above NONE."""
    told = zip(rows["at_ms"].to_pylist(), rows["highest_level"].to_pylist(), strict=True)
    labels = set()
    for level, spell in groupby(told, key=lambda row: row[1]):
        times = [at_ms for at_ms, _ in spell]
        if level in _LEVELS:
            label = None if level in labels else level
            labels.add(level)
            ends = _days([times[0] - 1000 * step, times[-1]])
            axes.axvspan(*ends, ymin=0.94, color=_LEVELS[level], linewidth=0, label=label, zorder=1)


def _shade_gaps(axes: Any, gaps: "pa.Table", events: "pa.Table", span: tuple[int, int]) -> None:
    """Where a venue that matters here may have been missed, and was not backfilled."""
    concerned = set(events["venue"].unique().to_pylist())
    chosen = [gap for gap in gaps.to_pylist() if not gap["filled"] and (not concerned or gap["venue"] in concerned)]
    label: str | None = f"gap: {', '.join(sorted({gap['venue'] for gap in chosen}))}"
    for gap in chosen:
        from_ms, until_ms = max(span[0], gap["from_ms"]), min(span[1], gap["until_ms"] or span[1])
        for one in axes:
            one.axvspan(*_days([from_ms, until_ms]), color=_GAP, alpha=0.3, linewidth=0, zorder=0, label=label)
        label = None


def _dress(axes: Any, span: tuple[int, int], title: str, zone: tzinfo) -> None:
    from matplotlib import dates

    kit: Any = dates  # these two have no annotations
    axes[0].set_title(title, loc="left", fontweight="bold")
    for one in axes:
        one.grid(visible=True, color=_MUTED, alpha=0.25, linewidth=0.5)
        one.spines[["top", "right"]].set_visible(False)
        one.set_axisbelow(True)
    axes[0].yaxis.set_major_formatter(lambda value, _: f"{value:,.6g}")
    locator = kit.AutoDateLocator(tz=zone)
    axes[2].xaxis.set_major_locator(locator)
    axes[2].xaxis.set_major_formatter(kit.ConciseDateFormatter(locator, tz=zone))
    axes[2].set_xlabel(str(zone))
    axes[2].set_xlim(*_days(span))


def _short(value: float) -> str:
    """12,300,000 -> 12.3M."""
    for limit, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:.3g}"
