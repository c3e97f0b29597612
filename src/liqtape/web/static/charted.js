// What the chart shows of one instrument: asked of the API, carried on by the stream between two answers.

import { store, serviceMs } from "./stream.js";

export const MARKET = "MARKET";

const WINDOWS = [10, 60, 300];
const POINTS = 720;
const COLUMNS = ["long_count", "short_count", "long_usd", "short_usd", "velocity_10s", "velocity_60s", "velocity_300s", "acceleration"];

// An answer of the API, or the reason there is none: {error, where, mend} as the API says it.
export async function ask(path) {
  const answer = await fetch(`/api/v1/${path}`, { headers: { Accept: "application/json" } });
  const said = await answer.json();
  if (!answer.ok) throw new Error(`${said.error ?? answer.status}${said.mend ? `: ${said.mend}` : ""}`);
  return said;
}

export async function load(symbol, seconds) {
  const name = encodeURIComponent(symbol);
  const [own, line, levels] = await Promise.all([
    ask(`metrics/${name}?seconds=${seconds}&points=${POINTS}`),
    ask(`price/${name}?seconds=${seconds}`),
    symbol === MARKET ? null : ask(`levels/${name}?seconds=${seconds}`),
  ]);
  const charted = {
    symbol, seconds, asOfMs: own.as_of_ms, fromMs: own.series.from_ms, stepMs: own.series.step_ms, source: own.series.source,
    keptFromMs: own.series.kept_from_ms, columns: Object.fromEntries(COLUMNS.map((each) => [each, own.series[each]])),
    changes: own.levels.slice().sort((a, b) => a.at_ms - b.at_ms), gaps: own.gaps, level: own.row.level,
    times: line.times_ms.map((ms) => ms / 1000), prices: line.prices, lineKind: line.line_kind,
    marks: line.marks.slice().sort((a, b) => a.at_ms - b.at_ms), hidden: symbol === MARKET ? 0 : line.hidden, hiddenUsd: line.hidden_usd,
    bins: levels?.bins ?? [], partial: line.partial,
  };
  take(charted, store.events.filter((event) => event.event_ms > charted.asOfMs));
  return charted;
}

// Carry on with events of the stream.
export function take(charted, events) {
  for (const event of events) {
    if (event.instrument !== charted.symbol && charted.symbol !== MARKET) continue;
    const at = Math.floor((event.event_ms - 1 - charted.fromMs) / charted.stepMs);
    if (at < 0) continue;
    extend(charted, at);
    if (event.side !== null) {
      charted.columns[`${event.side}_count`][at] += 1;
      charted.columns[`${event.side}_usd`][at] += event.notional_usd ?? 0;
    }
    if (charted.symbol === MARKET) continue;
    charted.marks.push({ at_ms: event.event_ms, price: event.price, usd: event.notional_usd, side: event.side, venue: event.venue, price_kind: event.price_kind });
    if (charted.lineKind === event.price_kind && event.event_ms / 1000 >= (charted.times.at(-1) ?? 0)) {
      charted.times.push(event.event_ms / 1000);
      charted.prices.push(event.price);
    }
  }
}

// Bring the columns up to now with the newest row.
export function advance(charted) {
  const row = charted.symbol === MARKET ? marketRow() : store.rows.get(charted.symbol);
  const at = Math.floor((serviceMs() - 1 - charted.fromMs) / charted.stepMs);
  extend(charted, Math.min(at, charted.columns.long_count.length + 3600));
  const last = charted.columns.long_count.length - 1;
  for (const seconds of WINDOWS) {
    const column = charted.columns[`velocity_${seconds}s`];
    const value = row === undefined ? 0 : (row[`velocity_${seconds}s`] ?? null);
    if (value !== null) column[last] = Math.max(column[last] ?? 0, value);
  }
  charted.columns.acceleration[last] = row?.acceleration ?? 0;
  if (row !== undefined) charted.level = row.level;
}

// The stream has no row of the market: its longest window is the sum of all instruments that have one.
function marketRow() {
  const sum = [...store.rows.values()].reduce((total, row) => total + row.event_count_300s, 0);
  return { ...store.now, velocity_300s: sum / 300 };
}

function extend(charted, at) {
  const { columns } = charted;
  while (columns.long_count.length <= at) {
    for (const name of COLUMNS) columns[name].push(name.startsWith("velocity") ? null : 0);
  }
}

// The end of each step, in seconds.
export const ends = (charted) => charted.columns.long_count.map((_, index) => (charted.fromMs + (index + 1) * charted.stepMs) / 1000);

// Whether the window that ends at `atMs` reaches over a time nobody watched.
export function isPartial(charted, atMs, seconds) {
  return charted.gaps.some((gap) => !gap.filled && gap.from_ms < atMs && (gap.until_ms ?? Infinity) > atMs - 1000 * seconds);
}

// Stretches of one level within the span, oldest first.
export function levelBands(charted, untilMs) {
  const bands = [];
  let level = charted.changes[0]?.previous ?? charted.level;
  let from = charted.fromMs;
  for (const change of charted.changes) {
    bands.push({ level, from, until: change.at_ms });
    ({ level } = change);
    from = change.at_ms;
  }
  bands.push({ level, from, until: untilMs });
  return bands.filter((band) => band.level !== "NONE" && band.until > band.from);
}
