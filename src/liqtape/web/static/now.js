// The sentence and the strip: is a cascade going on, who, how big, since when, and can it be trusted.

import { byId, element, mark, say } from "./dom.js";
import { RANKS, SIDES, age, clock, count, days, minutes, rate, share, span, times, usd } from "./format.js";
import { gone, serviceMs, silence, store } from "./stream.js";
import { isUtc } from "./view.js";

const STALE_S = 10;
let announced = null;

export function coin(symbol) {
  const base = /^(.+?)(USDT|USDC|USD)(_.*)?$/u.exec(symbol);
  return base ? base[1] : symbol;
}

export function paintNow() {
  const now = store.now;
  if (now === null) return;
  mark(byId("now"), "data-level", now.level);
  const level = byId("level");
  mark(level, "data-level", now.level);
  say(level, now.level === "NONE" ? "calm" : now.level);
  mark(byId("sentence"), "data-calm", now.level === "NONE" ? "" : null);
  const isRaised = now.level !== "NONE";
  say(byId("since"), isRaised && now.since_ms ? ` since ${clock(now.since_ms, isUtc(), { nearMs: now.as_of_ms })}:` : ":");
  who(now, isRaised);
  say(byId("size"), size(now));
  detail(now, isRaised);
  strip(now);
  announce(now);
  const title = `${now.mode === "live" ? "" : `${now.mode.toUpperCase()} \u00b7 `}${isRaised ? `${now.level} ${names(now)} \u00b7 ` : ""}liqtape`;
  if (document.title !== title) document.title = title;
}

// The coins with the most USD of the last minute: BTCUSDT and BTCUSDC are one name to a reader.
function names(now) {
  const rows = [...store.rows.values()].filter((row) => row.usd_60s > 0).sort((a, b) => b.usd_60s - a.usd_60s).slice(0, 12);
  const told = rows.length ? rows.map((row) => row.symbol) : now.instruments.map((each) => each.name);
  return [...new Set(told.map(coin))].slice(0, 3).join(", ");
}

function who(now, isRaised) {
  const node = byId("who");
  const text = isRaised ? names(now) : `${rate(now.velocity_60s)} liquidations/s over ${count(now.instruments_active)} instruments`;
  const side = isRaised ? now.side : null;
  const key = `${text}|${side}`;
  if (node.dataset.shown === key) return;
  node.dataset.shown = key;
  const word = side === "both" ? "longs and shorts" : side ? `${SIDES[side].mark}\u202f${side}s` : "";
  node.replaceChildren(element("bdi", {}, text), word ? " " : "", element("span", { class: side ?? "" }, word), ",");
}

function size(now) {
  const usual = now.times_usual === null ? "usual not known yet" : `${times(now.times_usual)} \u00d7 the usual minute`;
  return `${usd(now.usd_60s)} in 60 s, ${usual}`;
}

function detail(now, isRaised) {
  const parts = [];
  if (isRaised && now.since_ms) parts.push(`for ${span((serviceMs() - now.since_ms) / 1000)}`);
  if (now.lead) parts.push(`${now.lead.venue} leads ${now.lead.follower} by ${(now.lead.lead_ms / 1000).toFixed(1)} s \u00b1 ${(now.lead.error_ms / 1000).toFixed(1)}`);
  if (isRaised && now.return_days !== null) parts.push(`so much comes once in ${days(now.return_days)}${now.return_days > (now.trust.watched_days ?? 0) ? ", beyond what was watched" : ""}`);
  if (isRaised) parts.push(`${rate(now.velocity_10s)} liquidations/s`);
  if (isRaised && now.venues.length) parts.push(now.venues.slice(0, 4).map((each) => `${each.name} ${usd(each.usd)}`).join(", "));
  if (now.usd_60s > 0 && !isRaised) parts.push(`longs ${usd(now.long_usd_60s)}, shorts ${usd(now.short_usd_60s)}`);
  const raised = Object.entries(now.instruments_raised).filter(([, n]) => n > 0).sort(([a], [b]) => RANKS[b] - RANKS[a]);
  if (raised.length) parts.push(`${raised.map(([level, n]) => `${n} at ${level}`).join(", ")} of ${count(now.instruments_active)} instruments`);
  const told = now.messages;
  if (told && told.open) parts.push(`${count(told.open.messages)} ${told.open.messages === 1 ? "message" : "messages"} sent about it`);
  else if (told && told.market_days !== null) parts.push(`a message from once in ${days(told.market_days)}`);
  say(byId("detail"), parts.join(" \u00b7 "));
  const isForetold = (now.forecast ?? []).some((each) => each.probability !== null);
  mark(byId("forecast"), "class", isForetold ? "" : "narrow-hide"); // a phone has no room for what is not there
  say(byId("forecast"), foretold(now));
}

// Each probability beside what is usual; without one, why. Nothing foretold is not "safe".
function foretold(now) {
  const all = now.forecast ?? [];
  if (!all.length) return "";
  const reasons = new Set(all.map((each) => each.why));
  if (all.every((each) => each.probability === null) && reasons.size === 1) return `no forecast yet: ${all[0].why}`;
  return all.map((each) => {
    const target = `\u2265 ${each.target.count} within ${each.target.seconds} s`;
    if (each.probability === null) return `${target}: no forecast yet, ${each.why}`;
    return `${target}: ${chance(each.probability)}${each.base_rate === null ? "" : `, usually ${chance(each.base_rate)}`}`;
  }).join("; ");
}

function chance(p) {
  return `${Number((100 * p).toPrecision(2))}\u202f%`;
}

function strip(now) {
  const trust = now.trust;
  mode(now);
  const trouble = trust.troubled.map((each) => `${each.venue} ${each.state}${each.last_data_age_s === null ? "" : `, silent ${age(each.last_data_age_s)}`}`);
  part("venues", `${trust.venues_live} of ${trust.venues_total} venues`, trust.venues_live < trust.venues_total, trouble.join(", "));
  const covered = trust.coverage.coverage_60s;
  const isWarming = trust.warmup_ms < 300_000;
  part("covered", covered === null ? "coverage unknown" : `${share(covered)} covered`, covered !== null && covered < 1 && !isWarming);
  byId("covered").hidden = isWarming; // the notice says the same, and why
  const old = gone() ? silence() : trust.age_seconds === null ? null : trust.age_seconds + (silence() ?? 0);
  const isPast = now.replay !== null && now.replay !== undefined;
  part("age", isPast ? "as recorded" : old === null ? "no data yet" : `data ${age(old)} old`, !isPast && old !== null && old > STALE_S);
  mark(byId("sentence"), "class", !isPast && old !== null && old > STALE_S ? "stale" : "");
  const notices = [];
  if (isWarming) notices.push(element("span", { class: "warming" }, `warming up ${minutes(trust.warmup_ms / 1000)} of 5:00`));
  if (trust.throttled.length) notices.push(element("span", { class: "quiet" }, `\u2265 ${trust.throttled.join(", ")}: 1/s shown at most`));
  if (trust.is_learning) notices.push(element("span", { class: "quiet" }, `learning, ${(trust.watched_days ?? 0).toFixed(1)} of 7 d`));
  if (trust.failing?.length) notices.push(element("span", { class: "wrong" }, `not written: ${trust.failing.join(", ")}, see the log`));
  if (!trust.is_balanced) notices.push(element("span", { class: "wrong" }, "the ledger does not add up"));
  const node = byId("notices");
  const key = notices.map((each) => each.textContent).join("|");
  if (node.dataset.shown !== key) {
    node.dataset.shown = key;
    node.replaceChildren(...notices.flatMap((each, index) => (index ? [" \u00b7 ", each] : [each])));
  }
  node.hidden = notices.length === 0;
}

function mode(now) {
  const node = byId("mode");
  node.hidden = now.mode === "live";
  mark(node, "class", now.mode);
  say(node, now.mode.toUpperCase());
}

function part(id, text, isBad, more = "") {
  const node = byId(id);
  mark(node, "class", isBad ? "bad" : "");
  say(node, more ? `${text}: ${more}` : text);
}

// The one live region: changes of the market's level, and whether anybody speaks at all.
function announce(now) {
  const key = gone() ? "gone" : now.level;
  if (key === announced) return;
  if (announced !== null) {
    const word = now.level === "NONE" ? "Calm again" : `${now.level}: ${names(now)}`;
    say(byId("announce"), gone() ? "No word from liqtape" : word);
  }
  announced = key;
}

export function paintGone(isGone) {
  const bar = byId("gone");
  mark(document.documentElement, "data-gone", isGone ? "" : null);
  bar.hidden = !isGone;
  if (!isGone) return;
  const truth = store.now === null ? "it has not answered yet" : `this was true at ${clock(store.now.as_of_ms, isUtc())}`;
  say(bar, `No word from liqtape${silence() === null ? "" : ` for ${span(silence())}`}; ${truth}. Trying again by itself.`);
  if (store.now !== null) paintNow();
}
