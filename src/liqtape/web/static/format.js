// Numbers as words of the page. Null is unknown and is never formatted here as a figure: callers ask `unknown` first.

export const NONE = "\u2013";

const THIN = "\u202f";
const GROUPED = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 }); // making one is dear

export function usd(value) {
  if (value === null || value === undefined) return NONE;
  const size = Math.abs(value);
  if (size >= 999.5e6) return `$${round(value / 1e9, 2)}B`;
  if (size >= 999.5e3) return `$${round(value / 1e6, size >= 99.95e6 ? 0 : 1)}M`;
  if (size >= 999.5) return `$${round(value / 1e3, size >= 9.95e3 ? 0 : 1)}k`;
  return `$${round(value, 0)}`;
}

export function count(value) {
  return value === null || value === undefined ? NONE : grouped(Math.round(value));
}

export function rate(value) {
  if (value === null || value === undefined) return NONE;
  if (value === 0) return "0";
  if (value >= 99.95) return grouped(Math.round(value));
  if (value >= 9.995) return value.toFixed(1);
  return value >= 0.0995 ? value.toFixed(2) : value.toFixed(3); // one in 300 s is 0.003, not 0.00
}

export function signed(value) {
  if (value === null || value === undefined) return NONE;
  const text = Math.abs(value).toFixed(2);
  return text === "0.00" ? "0.00" : `${value < 0 ? "\u2212" : "+"}${text}`;
}

export function times(value) {
  if (value === null || value === undefined) return NONE;
  return value >= 9.95 ? grouped(Math.round(value)) : value.toFixed(1);
}

export function share(value) {
  if (value === null || value === undefined) return NONE;
  // 99.6 % is not all of it, and a trace is not nothing.
  const percent = value >= 1 ? 100 : Math.min(99, Math.max(value > 0 ? 1 : 0, Math.round(100 * value)));
  return `${percent}${THIN}%`;
}

export function days(value) {
  if (value === null || value === undefined) return NONE;
  if (value < 1 / 24) return `${Math.max(1, Math.round(value * 1440))} min`;
  if (value < 1) return `${round(value * 24, value * 24 < 9.95 ? 1 : 0)} h`;
  if (value >= 999.5) return `${grouped(Math.round(value / 365.25))} years`;
  return `${value < 9.95 ? round(value, 1) : Math.round(value)} d`;
}

export function age(seconds) {
  if (seconds === null || seconds === undefined) return NONE;
  const s = Math.max(0, seconds);
  if (s < 9.95) return `${s.toFixed(1)} s`;
  return span(s);
}

export function span(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${String(s % 60).padStart(2, "0")} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${String(Math.floor(s / 60) % 60).padStart(2, "0")} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor(s / 3600) % 24} h`;
}

export function minutes(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  return `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`;
}

export function price(value) {
  if (value === null || value === undefined) return NONE;
  const size = Math.abs(value);
  if (size === 0) return "0";
  const places = size >= 1000 ? 1 : Math.min(12, Math.max(2, 4 - Math.floor(Math.log10(size))));
  const [whole, rest] = value.toFixed(places).split(".");
  return rest === undefined ? grouped(+whole) : `${grouped(+whole)}.${rest}`;
}

// A time of day in the zone that was chosen; with the date where it is not that of `nearMs`.
export function clock(ms, isUtc, { seconds = true, nearMs = null } = {}) {
  if (ms === null || ms === undefined) return NONE;
  const iso = (at) => new Date(at - (isUtc ? 0 : new Date(at).getTimezoneOffset() * 60_000)).toISOString();
  const text = iso(ms);
  const day = nearMs !== null && iso(nearMs).slice(0, 10) !== text.slice(0, 10) ? `${text.slice(5, 10)} ` : "";
  return day + text.slice(11, seconds ? 19 : 16);
}

export const SIDES = { long: { mark: "\u25bc", word: "long" }, short: { mark: "\u25b2", word: "short" } };

export const RANKS = { NONE: 0, WATCH: 1, ALERT: 2, CRITICAL: 3, EXTREME: 4 };

function grouped(value) {
  return GROUPED.format(value);
}

function round(value, places) {
  const text = value.toFixed(places);
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}
