// Cascades and what moves together: asked of the API every few seconds.

import { ask } from "./charted.js";
import { byId, element, levelMark, say, why } from "./dom.js";
import { NONE, SIDES, clock, share, signed, span, times, usd } from "./format.js";
import { coin } from "./now.js";
import { store } from "./stream.js";
import { isUtc } from "./view.js";

const CASCADE_HEADS = [["When", ""], ["What", ""], ["USD", "num"], ["Led by", "narrow-hide"], ["Price moved", "num"]];
const SHOWN = 30;
const BUSIEST = 10;

export function begin() {
  byId("cascades-table").tHead.rows[0].append(...CASCADE_HEADS.map(([text, kind]) => element("th", { scope: "col", class: kind }, text)));
}

export async function refreshCascades() {
  try {
    const answer = await ask(`cascades?limit=${SHOWN}&parts=false`);
    const body = byId("cascades-table").tBodies[0];
    const rows = answer.cascades.map((each) => cascadeRow(each, answer.as_of_ms));
    if (!rows.length) rows.push(element("tr", {}, element("td", { class: "quiet", colspan: "5" }, "none since this process began to watch")));
    body.replaceChildren(...rows);
    const open = answer.cascades.filter((each) => each.end_ms === null).length;
    say(byId("cascades-facts"), `${open ? `${open} going on, ` : ""}${answer.total} since ${clock(answer.kept_from_ms, isUtc(), { nearMs: answer.as_of_ms })}`);
  } catch (error) {
    say(byId("cascades-facts"), error.message);
  }
}

function cascadeRow(each, nowMs) {
  const at = (ms) => clock(ms, isUtc(), { nearMs: nowMs });
  const under = (...parts) => element("span", { class: "under" }, ...parts);
  const lasted = each.end_ms === null ? "goes on" : `to ${at(each.end_ms)}, ${span((each.end_ms - each.begin_ms) / 1000)}`;
  const when = element("td", {}, at(each.begin_ms), under(lasted), under(`peak ${at(each.peak_ms)}`));
  when.append(each.gaps === null ? "" : each.gaps.length ? under(why(`${each.gaps.length} gap${each.gaps.length > 1 ? "s" : ""} in it`, each.gaps.map((gap) => `${gap.venue}: ${gap.reason}`).join("; "), "partial")) : "");
  const usual = each.times_usual === null ? why(NONE, "nothing to compare with before an hour was watched", "unknown") : times(each.times_usual);
  const leader = element("td", { class: "narrow-hide" });
  if (each.lead === null) leader.append(why(NONE, "no venue was ahead beyond doubt", "unknown left"));
  else leader.append(each.lead.venue, under(`${(each.lead.lead_ms / 1000).toFixed(1)} \u00b1 ${(each.lead.error_ms / 1000).toFixed(1)} s before ${each.lead.follower}`));
  const total = each.unsized ? why(usd(each.usd), `${each.unsized} liquidations of unknown size are not in it`, "partial") : usd(each.usd);
  return element("tr", {},
    when, whatOf(each), element("td", { class: "num" }, total, under(usual, " \u00d7 usual"), under(observed(each))), leader,
    element("td", { class: "num" }, moved(each.move_during, "no price was seen at both ends"), under("1 h after ", moved(each.move_hour_after, "known an hour after the end"))));
}

function whatOf(each) {
  const names = [...new Set(each.instruments.map((part) => coin(part.name)))].slice(0, 4).join(", ");
  const side = each.side === null || each.side === "both" ? "" : element("span", { class: each.side }, ` ${SIDES[each.side].mark}\u202f${each.side}s`);
  const what = element("td", { class: "wrap-any" }, each.level === null ? "" : levelMark(each.level), " ", each.scope === "market" ? "market: " : "", element("bdi", {}, names), side);
  what.append(element("span", { class: "under narrow-hide" }, each.venues.slice(0, 5).map((part) => `${part.name} ${usd(part.usd)}`).join(", ")));
  what.append(element("span", { class: "under narrow-hide" }, why(`seen by ${each.detectors.join(", ").replaceAll("_", " ")}`, each.why, "left")));
  return what;
}

function observed(each) {
  if (each.share_observed === 1) return "all seen";
  if (each.share_observed === null) return why("part seen", "a venue printed as much as it can, or shows chosen accounts only: nobody knows what share this is", "unknown");
  return why(`~ ${share(each.share_observed)} seen`, "an estimate: a venue prints at most one liquidation of an instrument and second", "partial");
}

const moved = (value, because) => (value === null ? why(NONE, because, "unknown") : `${signed(100 * value)} %`);

export async function refreshTogether() {
  try {
    const answer = await ask("correlation");
    const facts = [];
    if (answer.volatility_factor !== null) facts.push(`BTC moves ${answer.volatility_factor.toFixed(1)} \u00d7 as much as over the last day`);
    else facts.push("BTC against the last day: not known before an hour of prices");
  if (answer.realised_volatility !== null) facts.push(`volatility of 5 min ${Math.round(100 * answer.realised_volatility)}\u202f% a year`);
    if (answer.volatility_factor !== null && answer.volatility_coverage < 1) facts.push(`${share(answer.volatility_coverage)} of that day seen`);
    say(byId("together-facts"), facts.join(", "));
    byId("together-body").replaceChildren(venuePairs(answer), matrix(answer.instruments));
  } catch (error) {
    say(byId("together-facts"), error.message);
  }
}

function venuePairs(answer) {
  const list = element("ul", { class: "pairs" });
  for (const pair of answer.venues.filter((each) => each.rho !== null)) list.append(element("li", {}, `${pair.x} and ${pair.y} `, element("b", {}, signed(pair.rho)), lag(pair)));
  if (!list.children.length) list.append(element("li", { class: "quiet" }, "venues: not compared yet, or fewer than 10 liquidations at each"));
  return list;
}

function lag(pair) {
  if (pair.best_lag === null || pair.best_lag === 0) return "";
  const [first, later] = pair.best_lag > 0 ? [pair.x, pair.y] : [pair.y, pair.x];
  return ` ${coin(first)} leads ${coin(later)} by ${Math.abs(pair.best_lag)} s`;
}

// The lower triangle of the busiest instruments; the shade is the strength, the figure has the sign.
function matrix(pairs) {
  const known = pairs.filter((each) => each.rho !== null);
  const names = [...store.rows.values()].sort((a, b) => b.event_count_300s - a.event_count_300s).map((row) => row.symbol)
    .filter((symbol) => known.some((each) => each.x === symbol || each.y === symbol)).slice(0, BUSIEST);
  if (names.length < 2) return element("p", { class: "quiet" }, "instruments: not compared yet, or fewer than 10 liquidations of each");
  const rho = new Map(known.flatMap((each) => [[`${each.x}|${each.y}`, each], [`${each.y}|${each.x}`, each]]));
  const head = element("tr", {}, element("th", {}, element("span", { class: "off" }, "Instrument")), ...names.slice(0, -1).map((name, index) => element("th", { scope: "col", title: name }, String(index + 1), element("span", { class: "off" }, name))));
  const rows = names.map((name, index) => element("tr", {}, element("th", { scope: "row", title: name }, `${index + 1}  ${name}`), ...names.slice(0, index).map((other) => rhoCell(rho.get(`${name}|${other}`)))));
  return element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Correlation of the busiest instruments" }, element("table", { class: "matrix" }, element("thead", {}, head), element("tbody", {}, ...rows)));
}

function rhoCell(pair) {
  if (pair === undefined) return element("td", {}, NONE);
  const cell = element("td", { title: `${pair.x} and ${pair.y}: ${signed(pair.rho)}${lag(pair)}` }, `${pair.rho < 0 ? "\u2212" : ""}.${String(Math.round(99.9 * Math.abs(pair.rho))).padStart(2, "0")}`);
  const strength = Math.round(45 * Math.abs(pair.rho));
  cell.style.background = `color-mix(in srgb, var(--edge) ${strength}%, var(--paper))`;
  return cell;
}
