// Price with marks and USD by price, liquidations a second, acceleration: three plots on one time axis and one cursor.

import uPlot from "./uplot/uPlot.esm.js";
import { MARKET, advance, ends, isPartial, levelBands, load, take } from "./charted.js";
import { byId, element, mark, say, show } from "./dom.js";
import { NONE, clock, price, rate, signed, usd } from "./format.js";
import { colour, drawBandWords, drawBands, drawBars, drawBegin, drawEnds, drawGaps, drawMarks, drawPriceLevels, drawSlope, font, markWord, placed, write } from "./marks.js";
import { usual, velocity } from "./states.js";
import { listen, serviceMs, store } from "./stream.js";
import { choose, isUtc, onView, seconds, view } from "./view.js";

const SYNC = "chart";
const RELOAD_S = [[900, 10], [3600, 20], [21_600, 60], [86_400, 120]];
const TABLE_ROWS = 200;
const LINES = [["10s", 1, "--ink"], ["60s", 2, "--ink"], ["300s", 2, "--edge"]];

export let charted = null;
export const plots = {};
let problem = "";
let loadedAt = 0;
let loading = 0;
let hoverS = null;
let drawn = { shown: [], hidden: 0, hiddenUsd: 0 };

export function begin() {
  plots.price = plot("price", priceOptions(), [0.36, 0.44]);
  plots.rate = plot("rate", rateOptions(), [0.17, 0.22]);
  plots.slope = plot("slope", slopeOptions(), [0.08, 0.1]);
  new ResizeObserver(resize).observe(byId("plots"));
  addEventListener("resize", resize);
  listen("events", (events) => charted !== null && take(charted, events));
  listen("snapshot", () => reload());
  onView((changes) => {
    if ("instrument" in changes || "range" in changes) reload(true);
    else paint();
  });
  byId("as-table").addEventListener("click", () => {
    const isTable = byId("chart-table").hidden;
    byId("chart-table").hidden = !isTable;
    byId("plots").hidden = isTable;
    mark(byId("as-table"), "aria-pressed", isTable);
    paint();
  });
  resize();
}

export async function reload(isOther = false) {
  if (view.instrument === null) return;
  if (isOther) charted = null;
  const turn = (loading += 1);
  loadedAt = Date.now();
  try {
    const got = await load(view.instrument, seconds());
    if (turn !== loading) return;
    [charted, problem] = [got, ""];
  } catch (error) {
    if (turn !== loading) return;
    problem = error.message;
  }
  paint();
}

// Called twice a second.
export function refresh() {
  if (view.instrument === null && store.now !== null) {
    const first = store.now.instruments[0]?.name ?? [...store.rows.keys()][0] ?? MARKET;
    // A service that has just begun has little to show of a longer range.
    choose(store.now.trust.warmup_ms < 300_000 ? { instrument: first, range: "5m" } : { instrument: first });
  }
  const after = RELOAD_S.find(([upTo]) => seconds() <= upTo)[1];
  if (Date.now() - loadedAt > (1000 * after) / haste()) reload();
  paint();
}

// A past at speed leaves its last answer behind so much sooner.
function haste() {
  const replay = store.now?.replay ?? null;
  return replay === null ? 1 : Math.min(10, Math.max(1, replay.speed ?? 10));
}

const untilMs = () => serviceMs();

export function paint() {
  facts();
  if (charted === null) {
    for (const each of Object.values(plots)) each.setData([[], ...each.series.slice(1).map(() => [])]);
    readouts();
    return;
  }
  advance(charted);
  const isBare = charted.symbol === MARKET && charted.prices.length === 0;
  if (byId("plot-price").hidden !== isBare) {
    byId("plot-price").hidden = isBare;
    resize();
  }
  plots.price.setData([charted.times, charted.prices]);
  const times = ends(charted);
  const columns = [];
  for (const [name] of LINES) {
    const values = charted.columns[`velocity_${name}`];
    const cut = times.map((time) => isPartial(charted, 1000 * time, parseInt(name, 10)));
    columns.push(values.map((value, index) => (cut[index] && !(index && !cut[index - 1]) ? null : value)));
    columns.push(values.map((value, index) => (cut[index] ? value : null)));
  }
  plots.rate.setData([times, ...columns]);
  plots.slope.setData([times, charted.columns.acceleration]);
  readouts();
  if (!byId("chart-table").hidden) table(times);
  describe();
}

function plot(name, options, shares) {
  const root = byId(`plot-${name}`);
  const made = new uPlot({ width: 300, height: 100, ...shared(), ...options }, [[], ...options.series.slice(1).map(() => [])], root);
  made.shares = shares; // of the height of the window: on a desk, on a wall
  mark(made.ctx.canvas, "role", "img");
  mark(made.ctx.canvas, "aria-label", "Chart, not loaded yet");
  return made;
}

const isNarrow = () => innerWidth <= 700;
const sideWidth = () => (isNarrow() ? 64 : innerWidth >= 1900 ? 170 : 120);
const axisWidth = () => Math.max(isNarrow() ? 50 : 66, priceWidth);
let priceWidth = 0; // of the prices beside the axis: those of some coins have seven places and more

function fitted(u, labels) {
  if (labels?.length) {
    u.ctx.font = font();
    priceWidth = Math.ceil(Math.max(...labels.map((text) => u.ctx.measureText(text).width)) / (devicePixelRatio || 1)) + 10;
  }
  return axisWidth();
}

function resize() {
  const width = byId("plots").clientWidth;
  if (!width) return;
  for (const each of Object.values(plots)) {
    // Without a price the velocities have its room.
    const bare = byId("plot-price").hidden && each === plots.rate ? 3 : 1;
    const height = Math.round(bare * Math.max(each === plots.price ? 190 : each === plots.rate ? 104 : 62, each.shares[innerWidth >= 1900 ? 1 : 0] * (innerHeight - 60)));
    each.setSize({ width, height: isNarrow() && each === plots.price ? 210 : height });
  }
}

function shared() {
  return {
    legend: { show: false },
    cursor: { sync: { key: SYNC, setSeries: false }, y: false, drag: { x: false, y: false, setScale: false }, points: { show: false } },
    padding: [16, () => sideWidth(), 0, 0],
    tzDate: (time) => (isUtc() ? uPlot.tzDate(new Date(1000 * time), "Etc/UTC") : new Date(1000 * time)),
  };
}

const xScale = () => ({ time: true, range: () => [untilMs() / 1000 - seconds(), untilMs() / 1000] });

function axis(options) {
  return {
    stroke: () => colour("--ink-2"), font: font().replace(/^[\d.]+px/, "11px"), gap: 4,
    grid: { stroke: () => colour("--rule"), width: 1 }, ticks: { show: false }, ...options,
  };
}

const timeAxis = (isShown) =>
  axis({ space: 64, size: isShown ? 22 : 4, values: (_, splits) => splits.map((at) => (isShown ? clock(1000 * at, isUtc(), { seconds: seconds() <= 300 }) : "")) });

function hooks(before, after) {
  return {
    drawClear: [(u) => charted !== null && before(u)],
    draw: [(u) => (charted === null ? blank(u) : after(u))],
    setCursor: [(u) => hover(u)],
  };
}

// With as many places as the steps of an axis need.
function rounded(splits) {
  const apart = Math.abs((splits[1] ?? 1) - (splits[0] ?? 0)) || 1;
  const places = Math.min(12, Math.max(0, Math.ceil(-Math.log10(apart) - 1e-9) + (/^[15]|^2$/u.test(apart.toExponential().slice(0, 1)) && !/^2\.5/u.test(apart.toExponential()) ? 0 : 1)));
  return splits.map((value) => value.toLocaleString("en-US", { minimumFractionDigits: places, maximumFractionDigits: places }));
}

function blank(u) {
  if (u !== plots.price) return;
  // What is wrong, and below it how to mend it.
  (problem || "asking \u2026").split(/[:;] /u).forEach((line, index) => {
    write(u, line, u.bbox.left + u.bbox.width / 2, u.bbox.top + u.bbox.height / 2 + index * 18 * devicePixelRatio, "center");
  });
}

// What nobody watched: gaps, and what lies before the service began.
function unwatched() {
  return [...charted.gaps, { from_ms: 0, until_ms: charted.source === "memory" ? charted.keptFromMs : charted.fromMs, filled: false }];
}

// A mark is of full size from three usual minutes on, so that a quiet hour has small marks.
function leastOfFullSize() {
  const row = store.rows.get(charted.symbol);
  return row?.times_usual ? (3 * row.usd_60s) / row.times_usual : 0;
}

function priceRange() {
  const from = untilMs() - 1000 * seconds();
  let [low, high] = [Infinity, -Infinity];
  const see = (value) => ((low = Math.min(low, value)), (high = Math.max(high, value)));
  charted?.times.forEach((time, index) => 1000 * time >= from && see(charted.prices[index]));
  charted?.marks.forEach((each) => each.at_ms >= from && see(each.price));
  if (low > high) return [0, 1];
  const room = (high - low || Math.abs(high) * 0.001 || 1) * 0.08;
  return [low - room, high + room];
}

function priceOptions() {
  return {
    scales: { x: xScale(), y: { range: priceRange } },
    axes: [timeAxis(false), axis({ size: fitted, values: (_, splits) => rounded(splits) })],
    series: [{}, { stroke: () => colour("--price"), width: 1.25, spanGaps: true, points: { show: false }, paths: uPlot.paths.stepped({ align: 1 }) }],
    hooks: hooks((u) => drawGaps(u, unwatched(), untilMs()), (u) => {
      const from = untilMs() - 1000 * charted.seconds;
      if (charted.source === "memory") drawBegin(u, charted.keptFromMs, isUtc());
      drawn = placed(u, charted.marks, from);
      drawMarks(u, drawn.shown, Math.max(drawn.shown[0]?.usd ?? 0, leastOfFullSize()));
      drawPriceLevels(u, charted.bins, sideWidth());
      if (charted.prices.length === 0 && charted.marks.length === 0) {
        write(u, "no liquidation in this range", u.bbox.left + u.bbox.width / 2, u.bbox.top + u.bbox.height / 2, "center");
      }
    }),
  };
}

function rateRange() {
  if (charted === null) return [-1, 1];
  const step = charted.stepMs / 1000;
  const { columns } = charted;
  const first = Math.max(0, columns.long_count.length - Math.ceil(charted.seconds / step));
  let [low, high] = [0, 0];
  for (let at = first; at < columns.long_count.length; at += 1) {
    low = Math.max(low, (columns.long_count[at] ?? 0) / step);
    high = Math.max(high, (columns.short_count[at] ?? 0) / step, columns.velocity_10s[at] ?? 0, columns.velocity_60s[at] ?? 0);
  }
  const most = Math.max(low, high, 2);
  return [-Math.max(low, most * 0.25) * 1.12, Math.max(high, most * 0.25) * 1.18];
}

function rateOptions() {
  const lines = LINES.flatMap(([, width, name]) => [[], [2, 4]].map((dash) => ({
    stroke: () => colour(name), width, dash, points: { show: false }, scale: "y",
  })));
  return {
    scales: { x: xScale(), y: { range: rateRange } },
    axes: [timeAxis(false), axis({ size: axisWidth, space: 24, values: (_, splits) => rounded(splits.map(Math.abs)) })],
    series: [{}, ...lines],
    hooks: hooks(
      (u) => {
        drawBands(u, levelBands(charted, untilMs()));
        drawGaps(u, unwatched(), untilMs());
        drawBars(u, ends(charted), charted.columns.long_count, charted.columns.short_count, charted.stepMs / 1000);
      },
      (u) => {
        drawBandWords(u, levelBands(charted, untilMs()));
        drawEnds(u, LINES.map(([name, , ink]) => ({ text: name === "300s" ? "5 min" : name.replace("s", " s"), name: ink === "--edge" ? "--ink-2" : ink, value: charted.columns[`velocity_${name}`].at(-1) ?? null })));
      },
    ),
  };
}

function slopeRange() {
  const most = Math.max(0.05, ...(charted?.columns.acceleration ?? []).map((value) => Math.abs(value ?? 0)));
  return [-most * 1.1, most * 1.1];
}

function slopeOptions() {
  return {
    padding: [4, () => sideWidth(), 0, 0],
    scales: { x: xScale(), y: { range: slopeRange } },
    axes: [timeAxis(true), axis({ size: axisWidth, splits: (u) => [0, (0.9 * u.scales.y.max) / 1.1, (0.9 * u.scales.y.min) / 1.1], values: (_, splits) => splits.map((value) => (value === 0 ? "0" : signed(value))) })],
    series: [{}, { show: true, stroke: "transparent", points: { show: false } }],
    hooks: hooks((u) => drawGaps(u, unwatched(), untilMs()), (u) => drawSlope(u, ends(charted), charted.columns.acceleration, charted.stepMs / 1000)),
  };
}

function hover(u) {
  const next = u.cursor.left < 0 ? null : u.posToVal(u.cursor.left, "x");
  if (next === hoverS) return;
  hoverS = next;
  readouts();
}

function facts() {
  const name = view.instrument ?? NONE;
  say(byId("chart-name"), name === MARKET ? "All instruments" : name);
  const row = store.rows.get(name);
  const node = byId("chart-facts");
  if (row === undefined) return say(node, name === MARKET || problem ? "" : "no liquidation in the last 5 min");
  return say(node, `${row.level === "NONE" ? "calm" : row.level}, ${usd(row.usd_60s)} in 60 s, ${usual(row).text} \u00d7 usual`);
}

const at = (times, time) => {
  let [low, high] = [0, times.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (times[middle] <= time) low = middle;
    else high = middle - 1;
  }
  return high < 0 || times[low] > time ? null : low;
};

function readouts() {
  if (charted === null) {
    for (const id of ["price-readout", "rate-readout", "slope-readout"]) say(byId(id), "");
    return;
  }
  const when = hoverS === null ? "" : `${clock(1000 * hoverS, isUtc())}  `;
  if (byId("plot-price").hidden) say(byId("price-readout"), "");
  else priceReadout(when);
  const step = charted.stepMs / 1000;
  const length = charted.columns.long_count.length;
  const index = hoverS === null ? length - 1 : Math.min(length - 1, Math.max(0, Math.floor((1000 * hoverS - charted.fromMs) / charted.stepMs)));
  rateReadout(when, index, step);
  const slope = charted.columns.acceleration[index];
  say(byId("slope-readout"), `${when}acceleration ${slope === null ? NONE : signed(slope)} /s\u00b2`);
}

function priceReadout(when) {
  const kinds = { fill: "last fill", bankruptcy: "last bankruptcy price", btc: "BTC trades" };
  const index = at(charted.times, hoverS ?? Infinity);
  const parts = [`${when}${charted.symbol === MARKET ? "BTC " : ""}price ${index === null ? NONE : price(charted.prices[index])}${charted.lineKind ? ` (${kinds[charted.lineKind]})` : ""}`];
  const width = (4 * charted.seconds) / Math.max(100, plots.price.bbox.width);
  const near = hoverS === null ? null : drawn.shown.find((each) => Math.abs(each.at_ms / 1000 - hoverS) <= width);
  if (near) parts.push(`${markWord(near)} at ${price(near.price)}, ${near.venue}`);
  else if (drawn.shown[0]?.usd) parts.push(`largest ${markWord(drawn.shown[0])}`);
  const hidden = drawn.hidden + charted.hidden;
  if (hidden && !near) parts.push(`${hidden.toLocaleString("en-US")} smaller not drawn, ${usd(drawn.hiddenUsd + charted.hiddenUsd)}`);
  say(byId("price-readout"), parts.join(" \u00b7 "));
}

function rateReadout(when, index, step) {
  const node = byId("rate-readout");
  const row = hoverS === null ? store.rows.get(charted.symbol) : undefined;
  if (node.children.length === 0) node.append(element("span"), ...LINES.map(([name]) => element("span", {}, element("i", { class: `key v${name.replace("s", "")}` }), element("span"))), element("span"));
  say(node.children[0], `${when}per second`);
  LINES.forEach(([name], place) => {
    const value = charted.columns[`velocity_${name}`][index];
    const long = name === "300s" ? "5 min" : name.replace("s", " s");
    const figure = row ? velocity(row, parseInt(name, 10), store.now.trust.warmup_ms) : { text: rate(value), kind: isPartial(charted, charted.fromMs + (index + 1) * charted.stepMs, parseInt(name, 10)) ? "partial" : "" };
    show(node.children[place + 1].children[1], { ...figure, text: `${long} ${figure.text}` });
  });
  const { long_count: longs, short_count: shorts } = charted.columns;
  say(node.children[4], `\u25b2 ${shorts[index] ?? NONE} \u25bc ${longs[index] ?? NONE} in ${step} s`);
}

function table(times) {
  const heads = ["Ends", "Longs", "Shorts", "Long USD", "Short USD", "10 s /s", "60 s /s", "5 min /s", "Accel. /s\u00b2"];
  const rows = [];
  for (let index = times.length - 1; index >= Math.max(0, times.length - TABLE_ROWS); index -= 1) {
    const c = charted.columns;
    const cells = [clock(1000 * times[index], isUtc()), c.long_count[index] ?? NONE, c.short_count[index] ?? NONE, usd(c.long_usd[index]), usd(c.short_usd[index]), rate(c.velocity_10s[index]), rate(c.velocity_60s[index]), rate(c.velocity_300s[index]), signed(c.acceleration[index])];
    rows.push(element("tr", {}, ...cells.map((text) => element("td", { class: "num" }, String(text)))));
  }
  byId("chart-table").replaceChildren(element("table", {}, element("thead", {}, element("tr", {}, ...heads.map((text) => element("th", { scope: "col", class: "num" }, text)))), element("tbody", {}, ...rows)));
}

// The pictures in words, for who cannot see them; the table has the numbers.
function describe() {
  const span = `${charted.symbol}, last ${view.range}`;
  mark(plots.price.ctx.canvas, "aria-label", `Price and liquidations of ${span}; ${byId("price-readout").textContent}`);
  mark(plots.rate.ctx.canvas, "aria-label", `Liquidations a second of ${span}; ${byId("rate-readout").textContent}`);
  mark(plots.slope.ctx.canvas, "aria-label", `Acceleration of ${span}; ${byId("slope-readout").textContent}`);
}
