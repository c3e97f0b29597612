// Whether it can be trusted: a row a venue, what each hides, the gaps and the ledger.

import { ask } from "./charted.js";
import { byId, element, mark, say, why } from "./dom.js";
import { NONE, age, clock, count, share, span } from "./format.js";
import { silence, store } from "./stream.js";
import { isUtc } from "./view.js";

const HEADS = [["Venue", ""], ["State", ""], ["Data", "num"], ["Covered 10, 60, 300 s", "num"], ["Reconnects", "num"], ["Clock", "num"], ["Gaps 24 h", "num"]];
const DAY_MS = 86_400_000;

let health = null;
let askedAt = 0;

export function begin() {
  byId("trust-table").tHead.rows[0].append(...HEADS.map(([text, kind]) => element("th", { scope: "col", class: kind }, text)));
}

export async function refresh() {
  try {
    [health, askedAt] = [await ask("health"), Date.now()];
    paint();
    say(byId("trust-facts"), `version ${health.version}, watching since ${clock(health.started_ms, isUtc(), { nearMs: health.as_of_ms })}`);
  } catch (error) {
    say(byId("trust-facts"), error.message);
  }
}

export function paint() {
  if (health === null) return;
  const passed = Math.max(0, (Date.now() - askedAt) / 1000);
  const known = new Map(store.health.map((each) => [each.venue, each]));
  byId("trust-table").tBodies[0].replaceChildren(...health.venues.flatMap((each) => {
    const now = known.get(each.venue) ?? each;
    return [venueRow(now, passed), under(now)].filter(Boolean);
  }));
  ledger();
  gaps();
}

function venueRow(each, passed) {
  const covered = health.coverage[each.venue];
  const isLive = each.state === "live";
  const own = store.gaps.filter((gap) => gap.venue === each.venue && (gap.until_ms ?? Infinity) > health.as_of_ms - DAY_MS);
  const cell = (place, text, kind = "num") => element("td", { class: kind, "data-head": HEADS[place][0] }, text);
  const shares = covered ? [covered.coverage_10s, covered.coverage_60s, covered.coverage_300s].map(share).join(", ") : NONE;
  const clockText = each.shift_ms ? `off by ${(each.shift_ms / 1000).toFixed(1)} s` : each.skew_ms === null ? why(NONE, "too few trades so far to tell", "unknown") : `${each.skew_ms > 0 ? "+" : ""}${each.skew_ms} ms`;
  return element("tr", {},
    element("td", {}, element("b", {}, each.venue)),
    element("td", { class: isLive ? "state-live" : "state-bad", title: each.detail || null }, each.state),
    cell(2, each.last_data_age_s === null ? NONE : age(each.last_data_age_s + Math.min(passed, silence() ?? 0))),
    cell(3, shares), cell(4, count(each.reconnects)), cell(5, clockText), cell(6, String(own.length)));
}

// What is wrong with a venue, and what it never shows.
function under(each) {
  const words = [each.state !== "live" && each.detail, health.hides[each.venue]].filter(Boolean).join("; ");
  return words ? element("tr", { class: "hides" }, element("td", { class: "wrap", colspan: String(HEADS.length) }, `${each.venue} ${words}`)) : null;
}

function ledger() {
  const sums = health.ledger;
  const node = byId("ledger");
  mark(node, "class", health.is_balanced ? null : "wrong");
  say(node, health.is_balanced
    ? `Ledger: ${count(sums.frames_received)} frames and ${count(sums.events_decoded)} liquidations, each in exactly one place.`
    : `The ledger does not add up: ${count(sums.frames_received)} frames, ${count(sums.events_decoded)} liquidations. Do not trust these numbers before it is explained.`);
  const body = byId("sums-body");
  const rows = Object.entries(sums).map(([name, value]) => element("tr", {}, element("td", {}, name.replaceAll("_", " ")), element("td", { class: "num" }, count(value))));
  body.replaceChildren(element("table", {}, element("tbody", {}, ...rows)));
}

function gaps() {
  const own = store.gaps.filter((gap) => (gap.until_ms ?? Infinity) > health.as_of_ms - DAY_MS).sort((a, b) => b.from_ms - a.from_ms);
  const still = own.filter((gap) => gap.until_ms === null).length;
  say(byId("gaps-summary"), `Gaps of the last 24 h: ${own.length}${still ? `, ${still} going on` : ""}`);
  const at = (ms) => clock(ms, isUtc(), { nearMs: health.as_of_ms });
  const rows = own.slice(0, 100).map((gap) => element("tr", {},
    element("td", {}, gap.venue), element("td", {}, at(gap.from_ms)), element("td", { class: "num" }, gap.until_ms === null ? "goes on" : span((gap.until_ms - gap.from_ms) / 1000)),
    element("td", {}, gap.filled ? "filled afterwards" : "not filled"), element("td", { class: "wrap" }, gap.reason)));
  if (!rows.length) rows.push(element("tr", {}, element("td", { class: "quiet" }, "none")));
  byId("gaps-body").replaceChildren(element("table", {}, element("tbody", {}, ...rows)));
}
