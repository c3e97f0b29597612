// The table of instruments. Rows are kept by name and moved, never made anew, and none moves under the pointer.

import { byId, element, levelMark, mark, say, show } from "./dom.js";
import { RANKS, count } from "./format.js";
import { colour } from "./marks.js";
import { dollars, rarity, usual, velocity } from "./states.js";
import { serviceMs, store } from "./stream.js";
import { choose, view } from "./view.js";

const AT_FIRST = 40;
const AT_MOST = 2000;
const SPARK_STEP_S = 5;

// key, head, explanation, class; those without a key cannot be sorted by.
const COLUMNS = [
  ["pin", "\u2605", "Pinned rows stay on top", "pin"],
  ["symbol", "Instrument", "All venues summed", "name"],
  ["level", "Level", "How rare so much is for this instrument by its own past", ""],
  ["velocity_10s", "/s, 10 s", "Liquidations a second over the last 10 s", "num"],
  ["velocity_60s", "/s, 60 s", "Liquidations a second over the last 60 s", "num narrow-hide desk-hide"],
  ["usd_60s", "USD 60 s", "Liquidated USD of the last 60 s", "num"],
  ["times_usual", "\u00d7 usual", "USD of the last 60 s over its mean watched minute", "num"],
  ["return_days", "once in", "So much within 60 s comes once in so many watched days", "num narrow-hide desk-hide"],
  ["imbalance_usd_60s", "L | S", "Liquidated USD of the last 60 s by side of the closed position", "narrow-hide"],
  [null, "5 min", "Liquidations of the last five minutes", "narrow-hide"],
  [null, "Venues", "A filled dot: it liquidated there within 300 s", "narrow-hide desk-hide"],
];

const made = new Map();
let order = [];
let showsAll = false;
let hovered = null;
let current = null;

export function begin() {
  const head = byId("instruments-table").tHead.rows[0];
  for (const [key, text, explanation, kind] of COLUMNS) {
    const label = key ? element("button", { type: "button", title: explanation }, text) : element("span", { title: explanation }, text);
    if (key) label.addEventListener("click", () => sortBy(key));
    head.append(element("th", { scope: "col", class: kind, "data-key": key ?? "" }, label));
  }
  const body = byId("instruments-table").tBodies[0];
  body.addEventListener("pointerover", (event) => (hovered = event.target.closest("tr")?.dataset.symbol ?? null));
  body.addEventListener("pointerleave", () => (hovered = null));
  body.addEventListener("click", clicked);
  body.addEventListener("focusin", (event) => setCurrent(event.target.closest("tr")?.dataset.symbol));
  const filter = byId("filter");
  filter.value = view.filter;
  filter.addEventListener("input", () => (choose({ filter: filter.value }), settle()));
  byId("whole").addEventListener("click", () => choose({ instrument: "MARKET" }));
  byId("all-instruments").addEventListener("click", () => ((showsAll = !showsAll), settle()));
  sorted();
}

function clicked(event) {
  const symbol = event.target.closest("tr")?.dataset.symbol;
  if (symbol === undefined || event.target.closest(".why")) return;
  if (event.target.closest("td.pin")) {
    const pins = view.pins.includes(symbol) ? view.pins.filter((each) => each !== symbol) : [...view.pins, symbol];
    choose({ pins });
    settle();
  } else choose({ instrument: symbol });
}

function sortBy(key) {
  choose({ sort: key, descending: view.sort === key ? !view.descending : key !== "symbol" });
  sorted();
  settle();
}

function sorted() {
  for (const head of byId("instruments-table").tHead.rows[0].cells) {
    const isSorted = head.dataset.key === view.sort;
    mark(head, "aria-sort", isSorted ? (view.descending ? "descending" : "ascending") : null);
  }
}

// Move the current row by keys.
export function step(by) {
  const shown = order;
  if (!shown.length) return;
  const at = shown.indexOf(current);
  setCurrent(shown[Math.min(shown.length - 1, Math.max(0, at + by))]);
  made.get(current)?.name.focus();
}

export const open = () => current !== null && choose({ instrument: current });

// Only the current row is in the order of the Tab key: a table is one stop, its rows are reached by arrows.
function setCurrent(symbol) {
  if (symbol === undefined || symbol === current) return;
  reachable(current, false);
  current = symbol;
  reachable(current, true);
}

function reachable(symbol, isReachable) {
  made.get(symbol)?.tr.querySelectorAll("button, .why").forEach((each) => (each.tabIndex = isReachable ? 0 : -1));
}

function valueOf(row, key) {
  if (key === "level") return RANKS[row.level] * 1e15 + row.usd_60s;
  if (key === "pin") return view.pins.includes(row.symbol) ? 1 : 0;
  return row[key];
}

function compared(a, b) {
  const pinned = view.pins.includes(b.symbol) - view.pins.includes(a.symbol);
  if (pinned) return pinned;
  const [x, y] = [valueOf(a, view.sort), valueOf(b, view.sort)];
  // What is unknown stands last, whichever way.
  if (x === null || y === null) return (x === null) - (y === null) || a.symbol.localeCompare(b.symbol);
  const by = typeof x === "string" ? x.localeCompare(y) : x - y;
  return (view.descending ? -by : by) || b.total_value_usd - a.total_value_usd || a.symbol.localeCompare(b.symbol);
}

// The order settles once a second.
export function settle() {
  const wanted = view.filter.trim().toUpperCase();
  const rows = [...store.rows.values()].filter((row) => !wanted || row.symbol.toUpperCase().includes(wanted)).sort(compared);
  // The row that is pointed at, or that has the focus, stays where it is.
  const held = hovered ?? focused()?.closest("tr").dataset.symbol ?? null;
  const kept = held === null ? -1 : order.indexOf(held);
  order = rows.slice(0, showsAll ? AT_MOST : AT_FIRST).map((row) => row.symbol);
  if (kept >= 0 && store.rows.has(held)) {
    order = order.filter((symbol) => symbol !== held);
    order.splice(kept, 0, held);
  }
  arrange();
  const more = byId("all-instruments");
  more.hidden = rows.length <= AT_FIRST;
  say(more, showsAll ? `Show the first ${AT_FIRST}` : `Show all ${count(rows.length)}`);
  const matched = wanted ? `${count(rows.length)} of ${count(store.rows.size)}` : `${count(store.rows.size)} with a liquidation in 5 min`;
  say(byId("instruments-facts"), matched);
  paint();
}

// What of the rows has the focus; a row that is moved loses it.
const focused = () => document.activeElement?.closest("#instruments-table tbody tr") ? document.activeElement : null;

function arrange() {
  const body = byId("instruments-table").tBodies[0];
  const before = focused();
  const wanted = new Set(order);
  for (const [symbol, each] of made) {
    if (!wanted.has(symbol)) {
      each.tr.remove();
      made.delete(symbol);
    }
  }
  order.forEach((symbol, index) => {
    if (!made.has(symbol)) made.set(symbol, make(symbol));
    const tr = made.get(symbol).tr;
    if (body.rows[index] !== tr) body.insertBefore(tr, body.rows[index] ?? null);
  });
  if (current === null || !wanted.has(current)) setCurrent(order[0]);
  if (before?.isConnected && document.activeElement !== before) before.focus({ preventScroll: true });
}

function make(symbol) {
  const tr = element("tr", { "data-symbol": symbol });
  const cells = COLUMNS.map(([, , , kind]) => element("td", { class: kind }));
  const star = element("button", { type: "button", tabindex: "-1", "aria-label": `Pin ${symbol}` });
  const name = element("button", { type: "button", tabindex: "-1", title: symbol }, symbol);
  const spark = element("canvas", { class: "spark", width: "144", height: "40", "aria-hidden": "true" });
  const sides = element("span", { class: "sides" }, element("i", { class: "l" }), element("i", { class: "s" }));
  const sidesText = element("span", { class: "off" });
  cells[0].append(star);
  cells[1].append(name);
  cells[8].append(sides, sidesText);
  cells[9].append(spark);
  tr.append(...cells);
  return { tr, cells, star, name, spark, sides, sidesText };
}

export function paint() {
  for (const symbol of order) {
    const row = store.rows.get(symbol);
    if (row !== undefined) paintRow(made.get(symbol), row);
  }
}

function paintRow(parts, row) {
  const warmMs = store.now?.trust.warmup_ms ?? 300_000;
  const { cells } = parts;
  const isPinned = view.pins.includes(row.symbol);
  mark(parts.star, "aria-pressed", isPinned);
  say(parts.star, isPinned ? "\u2605" : "\u2606");
  mark(parts.tr, "class", `${row.level === "NONE" ? "calm" : ""}${row.symbol === view.instrument ? " chosen" : ""}`);
  if (cells[2].dataset.shown !== row.level) {
    const isFocused = cells[2].contains(document.activeElement);
    cells[2].dataset.shown = row.level;
    cells[2].replaceChildren(levelMark(row.level));
    reachable(row.symbol, row.symbol === current);
    if (isFocused) (cells[2].querySelector(".why") ?? parts.name).focus({ preventScroll: true });
  }
  show(cells[3], { ...velocity(row, 10, warmMs), note: "" });
  show(cells[4], { ...velocity(row, 60, warmMs), note: "" });
  show(cells[5], { ...dollars(row.usd_60s, row, 60, warmMs), note: "" });
  show(cells[6], usual(row));
  show(cells[7], rarity(row));
  paintSides(parts, row);
  paintSpark(parts.spark, row);
  paintVenues(cells[10], row);
  if (row.symbol !== current) reachable(row.symbol, false);
}

function paintSides(parts, row) {
  const sum = row.long_usd_60s + row.short_usd_60s;
  const [long, short] = sum > 0 ? [row.long_usd_60s / sum, row.short_usd_60s / sum] : [0, 0];
  parts.sides.children[0].style.width = `${50 * long}%`;
  parts.sides.children[1].style.width = `${50 * short}%`;
  say(parts.sidesText, sum > 0 ? `${Math.round(100 * long)} % long` : "nothing in 60 s");
}

function paintSpark(canvas, row) {
  // The row is as old as its last change; what has passed since stands empty at the right.
  const passed = Math.max(0, Math.floor((serviceMs() / 1000 - row.timestamp) / SPARK_STEP_S));
  const key = `${row.timestamp}|${passed}|${document.documentElement.dataset.theme}`;
  if (canvas.dataset.shown === key) return;
  canvas.dataset.shown = key;
  const bars = [...row.spark.slice(Math.min(passed, row.spark.length)), ...Array(Math.min(passed, row.spark.length)).fill(0)];
  const pen = canvas.getContext("2d");
  const most = Math.max(4, ...bars);
  const width = canvas.width / bars.length;
  pen.clearRect(0, 0, canvas.width, canvas.height);
  pen.fillStyle = colour("--ink");
  bars.forEach((value, index) => {
    const height = value ? Math.max(3, (canvas.height * value) / most) : 0;
    pen.fillRect(index * width, canvas.height - height, Math.max(1, width - 0.6), height);
  });
}

function paintVenues(cell, row) {
  const all = store.health.map((each) => each.venue);
  const key = `${row.venues.join()}|${all.join()}`;
  if (cell.dataset.shown === key) return;
  cell.dataset.shown = key;
  const dots = (all.length ? all : row.venues).map((venue) => element("i", { class: row.venues.includes(venue) ? "on" : "", title: venue }));
  cell.replaceChildren(element("span", { class: "dots" }, ...dots), element("span", { class: "off" }, row.venues.join(", ")));
}
