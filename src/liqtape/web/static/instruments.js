// The table of instruments. Rows are kept by name and moved, never made anew, and none moves under the pointer.

import { byId, cut, drawing, element, levelMark, mark, say, show } from "./dom.js";
import { RANKS, count } from "./format.js";
import { dollars, rarity, usual, velocity } from "./states.js";
import { serviceMs, store } from "./stream.js";
import { choose, onView, view } from "./view.js";

const AT_FIRST = 40;
const AT_MOST = 2000;
const SPARK_STEP_S = 5;

export const PARTS = 3; // of the rows, painted one after the other

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
let next = 0; // the place of the first row that is painted next
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
  body.addEventListener("pointerover", (event) => {
    if (hovered === null) stay();
    hovered = event.target.closest("tr")?.dataset.symbol ?? null;
  });
  body.addEventListener("pointerleave", () => (hovered = null));
  body.addEventListener("click", clicked);
  body.addEventListener("focusin", (event) => {
    if (!body.contains(event.relatedTarget)) stay();
    setCurrent(event.target.closest("tr")?.dataset.symbol);
  });
  const filter = byId("filter");
  filter.value = view.filter;
  filter.addEventListener("input", () => (choose({ filter: filter.value }), refresh()));
  byId("whole").addEventListener("click", () => choose({ instrument: "MARKET" }));
  byId("all-instruments").addEventListener("click", () => ((showsAll = !showsAll), refresh()));
  onView((changes) => "instrument" in changes && paintRows(0, order.length));
  sorted();
}

function clicked(event) {
  const symbol = event.target.closest("tr")?.dataset.symbol;
  if (symbol === undefined || event.target.closest(".why")) return;
  if (event.target.closest("td.pin")) {
    const pins = view.pins.includes(symbol) ? view.pins.filter((each) => each !== symbol) : [...view.pins, symbol];
    choose({ pins });
    refresh();
  } else choose({ instrument: symbol });
}

function sortBy(key) {
  choose({ sort: key, descending: view.sort === key ? !view.descending : key !== "symbol" });
  sorted();
  refresh();
}

function sorted() {
  for (const head of byId("instruments-table").tHead.rows[0].cells) {
    const isSorted = head.dataset.key === view.sort;
    mark(head, "aria-sort", isSorted ? (view.descending ? "descending" : "ascending") : null);
  }
}

// Move the current row by keys.
export function step(by) {
  if (!order.length) return;
  arrange(0, order.length);
  setCurrent(order[Math.min(order.length - 1, Math.max(0, order.indexOf(current) + by))]);
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

// The order settles once a second; the rows follow it at their next painting.
export function settle() {
  const sought = view.filter.trim().toUpperCase();
  const rows = [...store.rows.values()].filter((row) => !sought || row.symbol.toUpperCase().includes(sought)).sort(compared);
  // The row that is pointed at, or that has the focus, stays where it is.
  const held = hovered ?? focused()?.closest("tr").dataset.symbol ?? null;
  const kept = held === null ? -1 : order.indexOf(held);
  order = rows.slice(0, showsAll ? AT_MOST : AT_FIRST).map((row) => row.symbol);
  if (kept >= 0 && store.rows.has(held)) {
    order = order.filter((symbol) => symbol !== held);
    order.splice(kept, 0, held);
  }
  const wanted = new Set(order);
  for (const [symbol, each] of made) {
    if (!wanted.has(symbol)) {
      each.tr.remove();
      made.delete(symbol);
    }
  }
  if (held !== null) arrange(0, order.length); // by parts it would move meanwhile
  if (current === null || !wanted.has(current)) setCurrent(order[0]);
  const more = byId("all-instruments");
  more.hidden = rows.length <= AT_FIRST;
  say(more, showsAll ? `Show the first ${AT_FIRST}` : `Show all ${count(rows.length)}`);
  const matched = sought ? `${count(rows.length)} of ${count(store.rows.size)}` : `${count(store.rows.size)} with a liquidation in 5 min`;
  say(byId("instruments-facts"), matched);
}

// The order is what is seen, until it settles again: somebody has just pointed at a row.
function stay() {
  order = [...byId("instruments-table").tBodies[0].rows].map((tr) => tr.dataset.symbol);
}

// At once, for who has just chosen something.
export function refresh() {
  settle();
  paintRows(0, order.length);
}

// What of the rows has the focus; a row that is moved loses it.
const focused = () => document.activeElement?.closest("#instruments-table tbody tr") ? document.activeElement : null;

// Put the rows of these places where they belong.
function arrange(from, until) {
  const body = byId("instruments-table").tBodies[0];
  const before = focused();
  let there = body.rows[from] ?? null;
  for (const symbol of order.slice(from, until)) {
    if (!made.has(symbol)) {
      made.set(symbol, make(symbol));
      if (symbol === current) reachable(symbol, true);
    }
    const { tr } = made.get(symbol);
    if (tr === there) there = there.nextElementSibling;
    else body.insertBefore(tr, there);
  }
  if (before?.isConnected && document.activeElement !== before) before.focus({ preventScroll: true });
}

function make(symbol) {
  const tr = element("tr", { "data-symbol": symbol });
  const cells = COLUMNS.map(([, , , kind]) => element("td", { class: kind }));
  const star = element("button", { type: "button", tabindex: "-1", "aria-label": `Pin ${symbol}` });
  const name = element("button", { type: "button", tabindex: "-1", title: symbol, class: cut(symbol).trim() }, symbol);
  const spark = drawing("path");
  const sides = element("span", { class: "sides" }, element("i", { class: "l" }), element("i", { class: "s" }));
  const sidesText = element("span", { class: "off" });
  cells[0].append(star);
  cells[1].append(name);
  cells[8].append(sides, sidesText);
  cells[9].append(drawing("svg", { class: "spark", viewBox: "0 0 60 20", "aria-hidden": "true" }, spark));
  tr.append(...cells);
  return { tr, cells, star, name, spark, sides, sidesText };
}

// Some of the rows at a time, so that no frame waits for all of them.
export function paint() {
  if (next >= order.length) next = 0;
  paintRows(next, (next += Math.ceil(order.length / PARTS)));
}

function paintRows(from, until) {
  arrange(from, until);
  for (const symbol of order.slice(from, until)) {
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

// One outline of all steps.
function paintSpark(path, row) {
  // The row is as old as its last change; what has passed since stands empty at the right.
  const passed = Math.max(0, Math.floor((serviceMs() / 1000 - row.timestamp) / SPARK_STEP_S));
  const bars = row.spark.slice(passed);
  const most = Math.max(4, ...bars);
  let before = 0;
  let outline = "M0 20";
  bars.forEach((value, index) => {
    if (value !== before) outline += `H${index}V${value ? 20 - Math.max(1.5, Math.round((200 * value) / most) / 10) : 20}`;
    before = value;
  });
  mark(path, "d", `${outline}H${bars.length}V20Z`);
}

function paintVenues(cell, row) {
  const all = store.health.map((each) => each.venue);
  const key = `${row.venues.join()}|${all.join()}`;
  if (cell.dataset.shown === key) return;
  cell.dataset.shown = key;
  const dots = (all.length ? all : row.venues).map((venue) => element("i", { class: row.venues.includes(venue) ? "on" : "", title: venue }));
  cell.replaceChildren(element("span", { class: "dots" }, ...dots), element("span", { class: "off" }, row.venues.join(", ")));
}
