// How sure a number is: complete, partial, warming up, throttled or unknown. Each looks different and says why.

import { NONE, days, minutes, rate, share, times, usd } from "./format.js";

export const COMPLETE = "";

// {text, kind, because, note} for a velocity of a row; `warmMs` is how long the service has watched.
export function velocity(row, seconds, warmMs) {
  const value = row[`velocity_${seconds}s`];
  const estimate = row[`velocity_est_${seconds}s`] ?? value;
  if (value === null || value === undefined) return unknown("not computed yet");
  const hides = rate(estimate) !== rate(value) && estimate > value;
  const text = `${hides ? "\u2265\u202f" : ""}${rate(value)}`;
  const throttle = hides ? `a venue here prints at most one liquidation a second; estimate ${rate(estimate)}/s` : "";
  return qualified(text, row[`coverage_${seconds}s`], seconds, warmMs, throttle, hides ? `est. ${rate(estimate)}` : "");
}

export function dollars(value, row, seconds, warmMs) {
  if (value === null || value === undefined) return unknown("no liquidation of a known size");
  return qualified(usd(value), row[`coverage_${seconds}s`], seconds, warmMs, "", "");
}

export function usual(row) {
  if (row.times_usual === null || row.times_usual === undefined) return unknown("nothing to compare with before an hour was watched");
  const learning = row.is_learning ? "still learning what is usual: fewer than seven days were watched" : "";
  return { text: times(row.times_usual), kind: COMPLETE, because: learning, note: "" };
}

export function rarity(row) {
  if (row.return_days === null || row.return_days === undefined) {
    return unknown(row.event_count_60s ? "nothing was learned yet, or no known size" : "nothing in the last 60 s");
  }
  const learning = row.is_learning ? "still learning: fewer than seven days were watched" : "";
  return { text: days(row.return_days), kind: COMPLETE, because: learning, note: "" };
}

export function unknown(because) {
  return { text: NONE, kind: "unknown", because, note: "" };
}

function qualified(text, coverage, seconds, warmMs, because, note) {
  if (coverage !== null && coverage !== undefined && coverage < 1) {
    const isWarming = warmMs < 1000 * seconds;
    const watched = isWarming ? `${minutes(warmMs / 1000)} of ${minutes(seconds)}` : `${share(coverage)} covered`;
    const reason = isWarming ? `warming up: ${watched} watched so far` : `partial: ${watched}, liquidations may be missing`;
    return { text, kind: isWarming ? "warming" : "partial", because: because ? `${reason}; ${because}` : reason, note: watched };
  }
  return { text, kind: COMPLETE, because, note };
}
