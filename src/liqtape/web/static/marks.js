// What we draw on uPlot's canvas ourselves: marks, USD by price, mirrored bars, gaps and level bands. Sizes are CSS pixels.

import { RANKS, SIDES, clock, usd } from "./format.js";

const MARK_MOST = 26; // the side of the largest mark
const MARK_LEAST = 4;
const LEVELS = { WATCH: "--watch", ALERT: "--alert", CRITICAL: "--critical", EXTREME: "--extreme" };

const ratio = () => devicePixelRatio || 1;

let theme = null;
const colours = new Map();

// Asking the style of a page is dear: a thousand marks ask for three colours.
export function colour(name) {
  const root = document.documentElement;
  if (root.dataset.theme !== theme) {
    theme = root.dataset.theme;
    colours.clear();
  }
  if (!colours.has(name)) colours.set(name, getComputedStyle(root).getPropertyValue(name).trim());
  return colours.get(name);
}

// Of the marks in one pixel column the biggest is drawn; how many are not, is said.
export function placed(u, marks, fromMs) {
  const columns = new Map();
  let hidden = 0;
  let hiddenUsd = 0;
  for (const each of marks) {
    if (each.at_ms < fromMs) continue;
    const column = `${Math.round(u.valToPos(each.at_ms / 1000, "x"))}${each.side}`;
    const before = columns.get(column);
    const isBigger = before === undefined || (each.usd ?? 0) > (before.usd ?? 0);
    if (before !== undefined) {
      hidden += 1;
      hiddenUsd += (isBigger ? before.usd : each.usd) ?? 0;
    }
    if (isBigger) columns.set(column, each);
  }
  // Small ones last, so that they lie on top.
  return { shown: [...columns.values()].sort((a, b) => (b.usd ?? 0) - (a.usd ?? 0)), hidden, hiddenUsd };
}

export function drawMarks(u, shown, largest) {
  const pen = u.ctx;
  const dpr = ratio();
  pen.save();
  pen.beginPath();
  pen.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height);
  pen.clip();
  pen.lineWidth = dpr;
  for (const each of shown) {
    const size = dpr * Math.max(MARK_LEAST, MARK_MOST * Math.sqrt((each.usd ?? 0) / (largest || 1)));
    const x = u.valToPos(each.at_ms / 1000, "x", true);
    const y = u.valToPos(each.price, "y", true);
    const name = each.side === null ? "--ink-2" : `--${each.side}`;
    pen.fillStyle = pen.strokeStyle = colour(name);
    const up = each.side === "short" ? 1 : -1;
    pen.beginPath();
    pen.moveTo(x, y - (up * size) / 2);
    pen.lineTo(x - size / 2, y + (up * size) / 2);
    pen.lineTo(x + size / 2, y + (up * size) / 2);
    pen.closePath();
    if (each.usd !== null) {
      pen.globalAlpha = 0.65;
      pen.fill();
    }
    pen.globalAlpha = 1;
    pen.stroke();
  }
  pen.restore();
}

// Realised USD by price, at the right of the chart on its own y axis.
export function drawPriceLevels(u, bins, width) {
  const pen = u.ctx;
  const dpr = ratio();
  const most = Math.max(0, ...bins.map((bin) => bin.long_usd + bin.short_usd));
  const left = u.bbox.left + u.bbox.width + 8 * dpr;
  const room = (width - 14) * dpr;
  pen.save();
  if (most > 0) write(u, width > 100 ? `by price, to ${usd(most)}` : `to ${usd(most)}`, left, u.bbox.top - 3 * dpr, "left", "bottom");
  if (most > 0) {
    pen.beginPath();
    pen.rect(left, u.bbox.top, room, u.bbox.height);
    pen.clip();
    for (const bin of bins) {
      const top = u.valToPos(bin.price_until, "y", true);
      const height = Math.max(dpr, u.valToPos(bin.price_from, "y", true) - top - dpr);
      const long = (room * bin.long_usd) / most;
      pen.fillStyle = colour("--long");
      pen.fillRect(left, top, long, height);
      pen.fillStyle = colour("--short");
      pen.fillRect(left + long, top, (room * bin.short_usd) / most, height);
    }
  }
  pen.restore();
}

// Liquidations a second: shorts above zero, longs below.
export function drawBars(u, times, longs, shorts, stepS) {
  const pen = u.ctx;
  const dpr = ratio();
  const zero = u.valToPos(0, "y", true);
  const width = Math.max(dpr, Math.abs(u.valToPos(times[1] ?? 1, "x", true) - u.valToPos(times[0] ?? 0, "x", true)) - (stepS > 1 ? dpr : 0));
  pen.save();
  pen.beginPath();
  pen.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height);
  pen.clip();
  for (const [values, sign, side] of [[shorts, 1, "short"], [longs, -1, "long"]]) {
    pen.fillStyle = colour(`--${side}`);
    times.forEach((time, index) => {
      if (!values[index]) return;
      const y = u.valToPos((sign * values[index]) / stepS, "y", true);
      pen.fillRect(u.valToPos(time - stepS, "x", true), Math.min(y, zero), width, Math.max(dpr, Math.abs(y - zero)));
    });
  }
  pen.fillStyle = colour("--edge");
  pen.fillRect(u.bbox.left, Math.round(zero), u.bbox.width, dpr);
  pen.restore();
}

export function drawSlope(u, times, values, stepS) {
  const pen = u.ctx;
  const dpr = ratio();
  const zero = u.valToPos(0, "y", true);
  pen.save();
  pen.beginPath();
  pen.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height);
  pen.clip();
  pen.fillStyle = colour("--edge");
  pen.fillRect(u.bbox.left, Math.round(zero), u.bbox.width, dpr);
  const width = Math.max(dpr, u.valToPos(times[1] ?? 1, "x", true) - u.valToPos(times[0] ?? 0, "x", true));
  times.forEach((time, index) => {
    if (!values[index]) return;
    const y = u.valToPos(values[index], "y", true);
    pen.fillRect(u.valToPos(time - stepS, "x", true), Math.min(y, zero), width, Math.abs(y - zero));
  });
  pen.restore();
}

export function drawGaps(u, gaps, untilMs) {
  const pen = u.ctx;
  const hatch = hatching(pen);
  for (const gap of gaps.filter((each) => !each.filled)) {
    const left = Math.max(u.bbox.left, u.valToPos(gap.from_ms / 1000, "x", true));
    const right = Math.min(u.bbox.left + u.bbox.width, u.valToPos((gap.until_ms ?? untilMs) / 1000, "x", true));
    if (right <= left) continue;
    pen.fillStyle = hatch;
    pen.fillRect(left, u.bbox.top, right - left, u.bbox.height);
  }
}

// Where the watching began, in words where there is room.
export function drawBegin(u, ms, isUtc) {
  const dpr = ratio();
  const right = u.valToPos(ms / 1000, "x", true);
  u.ctx.font = font();
  const text = `watched since ${clock(ms, isUtc)}`;
  const width = u.ctx.measureText(text).width;
  if (right - u.bbox.left < width + 16 * dpr || right > u.bbox.left + u.bbox.width) return;
  const y = u.bbox.top + u.bbox.height / 2;
  u.ctx.fillStyle = colour("--paper");
  u.ctx.fillRect(right - width - 12 * dpr, y - 9 * dpr, width + 8 * dpr, 18 * dpr);
  write(u, text, right - 8 * dpr, y, "right");
}

export function drawBands(u, bands) {
  const pen = u.ctx;
  for (const [band, left, right] of within(u, bands)) {
    pen.fillStyle = colour(LEVELS[band.level]);
    pen.globalAlpha = 0.16;
    pen.fillRect(left, u.bbox.top, right - left, u.bbox.height);
    pen.globalAlpha = 1;
    pen.fillRect(left, u.bbox.top, right - left, 3 * ratio());
  }
}

// The words of the bands, over the grid. One that is wider than its band may reach over it, but not over another word.
export function drawBandWords(u, bands) {
  const dpr = ratio();
  const taken = []; // the highest level has the first choice
  u.ctx.font = font();
  for (const [band, left] of within(u, bands).sort(([a], [b]) => RANKS[b.level] - RANKS[a.level])) {
    const [from, until] = [left + 3 * dpr, left + u.ctx.measureText(band.level).width + 8 * dpr];
    if (until < u.bbox.left + u.bbox.width && taken.every(([a, b]) => until < a || from > b)) {
      write(u, band.level, from, u.bbox.top + 5 * dpr, "left", "top", LEVELS[band.level]);
      taken.push([from, until]);
    }
  }
}

function within(u, bands) {
  const [first, last] = [u.bbox.left, u.bbox.left + u.bbox.width];
  const at = (ms) => Math.min(last, Math.max(first, u.valToPos(ms / 1000, "x", true)));
  return bands.map((band) => [band, at(band.from), at(band.until)]).filter(([, left, right]) => right > left);
}

// Words at the end of lines, pushed apart where they would overlap.
export function drawEnds(u, labels) {
  const dpr = ratio();
  const apart = 13 * dpr;
  const put = labels.filter((each) => each.value !== null).map((each) => ({ ...each, y: u.valToPos(each.value, "y", true) })).sort((a, b) => b.y - a.y);
  const bottom = u.bbox.top + u.bbox.height;
  put.forEach((each, index) => (each.y = Math.min(each.y, (index ? put[index - 1].y - apart : bottom - 2 * dpr))));
  for (const each of put) write(u, each.text, u.bbox.left + u.bbox.width + 8 * dpr, each.y, "left", "middle", each.name);
}

export function write(u, text, x, y, align = "left", base = "middle", name = "--ink-2") {
  const pen = u.ctx;
  pen.save();
  pen.font = font();
  pen.fillStyle = colour(name);
  pen.textAlign = align;
  pen.textBaseline = base;
  pen.fillText(text, x, y);
  pen.restore();
}

export const font = () => `${11 * ratio()}px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif`;

export const markWord = (each) => `${SIDES[each.side]?.mark ?? "\u25c7"} ${each.side ?? "unknown side"} ${each.usd === null ? "of unknown size" : usd(each.usd)}`;

let hatch = null;

function hatching(pen) {
  const ink = colour("--edge");
  if (hatch?.ink !== ink) hatch = { ink, pattern: hatched(pen, ink) };
  return hatch.pattern;
}

function hatched(pen, ink) {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 12;
  const hand = tile.getContext("2d");
  hand.strokeStyle = ink;
  hand.globalAlpha = 0.55;
  hand.beginPath();
  for (const shift of [-12, 0, 12]) {
    hand.moveTo(shift, 12);
    hand.lineTo(shift + 12, 0);
  }
  hand.stroke();
  return pen.createPattern(tile, "repeat");
}
