// The tape: every liquidation as it came, the newest on top. Pointing at it holds it still.

import { byId, cut, element, mark, say, sideMark } from "./dom.js";
import { NONE, SIDES, age, count, price, usd } from "./format.js";
import { listen, serviceMs, store } from "./stream.js";
import { choose, view } from "./view.js";

const ROWS = 60;
const BIG_USD = 1e6;
const LEAST = [[0, "all sizes"], [1000, "from $1k"], [10_000, "from $10k"], [100_000, "from $100k"], [1_000_000, "from $1M"]];
const CELLS = ["num", "", "", "inst", "num", "num wide", "wide"];
const KINDS = { fill: "fill", bankruptcy: "bankruptcy" };

let isHeld = false;
let held = [];
let shown = [];
let isDirty = true;

export function begin() {
  byId("tape-least").append(...LEAST.map(([value, text]) => element("option", { value: String(value) }, text)));
  for (const [id, key] of [["tape-least", "least"], ["tape-venue", "venue"], ["tape-side", "side"]]) {
    const control = byId(id);
    control.value = String(view[key]);
    control.addEventListener("change", () => (choose({ [key]: key === "least" ? Number(control.value) : control.value }), (isDirty = true), paint()));
  }
  const scroll = byId("tape-scroll");
  scroll.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && hold(true));
  scroll.addEventListener("pointerleave", () => hold(false));
  scroll.addEventListener("focusin", () => hold(true));
  scroll.addEventListener("focusout", () => hold(false));
  listen("events", () => (isDirty = true));
  listen("snapshot", () => (isDirty = true));
}

function hold(isWanted) {
  isHeld = isWanted;
  held = store.events.slice();
  isDirty = true;
}

const passes = (event) =>
  (!view.venue || event.venue === view.venue) && (!view.side || event.side === view.side) &&
  // What has no known USD is not small: it is shown whatever the least is.
  (event.notional_usd === null || event.notional_usd >= view.least);

export function paint() {
  fillVenues();
  if (isDirty) {
    isDirty = false;
    const all = isHeld || view.paused ? held : store.events;
    if (!(isHeld || view.paused)) held = all;
    shown = [];
    for (let at = all.length - 1; at >= 0 && shown.length < ROWS; at -= 1) if (passes(all[at])) shown.push(all[at]);
    arrange();
    facts();
  }
  ages();
}

function facts() {
  const small = store.events.reduce((sum, each) => sum + (each.notional_usd !== null && each.notional_usd < view.least), 0);
  const parts = [];
  if (view.least > 0) parts.push(`${count(small)} hidden below ${usd(view.least)}`);
  if (store.leftOut) parts.push(`${count(store.leftOut)} smaller left out in the rush`);
  if (store.missed && !store.now.replay) parts.push(`${count(store.missed)} missed while away`);
  if (isHeld || view.paused) parts.push(`held, ${count(newSince())} newer`);
  say(byId("tape-facts"), parts.join(" \u00b7 "));
}

function newSince() {
  const last = held.at(-1);
  const at = last === undefined ? -1 : store.events.lastIndexOf(last);
  return store.events.length - 1 - at;
}

function fillVenues() {
  const select = byId("tape-venue");
  const venues = store.health.map((each) => each.venue);
  if (select.options.length - 1 === venues.length) return;
  select.replaceChildren(element("option", { value: "" }, "all venues"), ...venues.map((venue) => element("option", { value: venue }, venue)));
  select.value = view.venue;
}

function arrange() {
  const body = byId("tape-table").tBodies[0];
  while (body.rows.length > shown.length || body.rows[0]?.cells.length === 1) body.lastChild.remove();
  // What is newer goes into the rows of what is too old; all between keep what they have.
  const newer = shown.indexOf(body.rows[0]?.event);
  for (let at = 0; at < newer; at += 1) body.prepend(body.rows[shown.length - 1] ?? made());
  shown.forEach((event, index) => {
    const row = body.rows[index] ?? body.appendChild(made());
    if (row.event !== event) write(row, event);
  });
  if (shown.length === 0) {
    const text = store.events.length ? "none passes the filters" : "no liquidation yet";
    body.replaceChildren(element("tr", {}, element("td", { class: "quiet", colspan: "7" }, text)));
  }
}

const made = () => element("tr", {}, ...CELLS.map((kind) => element("td", { class: kind })));

function write(row, event) {
  const cells = row.cells;
  if (row.event?.side !== event.side || row.event === undefined) cells[2].replaceChildren(sideMark(event.side, SIDES));
  row.event = event;
  mark(row, "class", event.notional_usd >= BIG_USD ? "big" : null);
  say(cells[1], event.venue);
  say(cells[3], event.instrument);
  mark(cells[3], "class", `inst${cut(event.instrument)}`);
  mark(cells[3], "title", `${event.instrument} (${event.symbol})`);
  say(cells[4], event.notional_usd === null ? NONE : usd(event.notional_usd));
  mark(cells[4], "title", event.notional_usd === null ? "the size of the contract, or its dollar value, is not known" : String(event.notional_usd));
  say(cells[5], price(event.price));
  say(cells[6], KINDS[event.price_kind] ?? "");
}

function ages() {
  for (const row of byId("tape-table").tBodies[0].rows) {
    if (row.event) say(row.cells[0], age((serviceMs() - row.event.event_ms) / 1000).replace(/\.\d s$/, " s"));
  }
}
