// What the reader chose: the address keeps instrument and range, so that a link shows the same; the rest stays in this browser.

export const RANGES = [["5m", 300], ["15m", 900], ["1h", 3600], ["6h", 21600], ["24h", 86400]];

const KEPT = "liqtape";
const DEFAULTS = { theme: "auto", zone: "utc", pins: [], sort: "usd_60s", descending: true, filter: "", least: 1000, venue: "", side: "", sound: false, notify: false };

export const view = { instrument: null, range: "15m", paused: false, ...DEFAULTS, ...restored() };

const watchers = [];

export function onView(watcher) {
  watchers.push(watcher);
}

export function choose(changes) {
  Object.assign(view, changes);
  const kept = Object.fromEntries(Object.keys(DEFAULTS).map((key) => [key, view[key]]));
  try {
    localStorage.setItem(KEPT, JSON.stringify(kept));
  } catch {
    // A private window may refuse; the choice then lasts as long as the page.
  }
  if ("instrument" in changes || "range" in changes) writeAddress();
  applyTheme();
  for (const watcher of watchers) watcher(changes);
}

export const isUtc = () => view.zone === "utc";

export const seconds = () => RANGES.find(([name]) => name === view.range)[1];

export function readAddress() {
  const [name, range] = location.hash.slice(1).split("/");
  let instrument = null;
  try {
    instrument = name ? decodeURIComponent(name) : null;
  } catch {
    return; // not an address of ours
  }
  const known = RANGES.some(([each]) => each === range);
  if (instrument !== view.instrument || (known && range !== view.range)) {
    Object.assign(view, { instrument, range: known ? range : view.range });
    for (const watcher of watchers) watcher({ instrument, range: view.range });
  }
}

export function applyTheme() {
  const isLight = view.theme === "auto" ? matchMedia("(prefers-color-scheme: light)").matches : view.theme === "light";
  document.documentElement.dataset.theme = isLight ? "light" : "dark";
}

matchMedia("(prefers-color-scheme: light)").addEventListener("change", () => choose({}));
addEventListener("hashchange", readAddress);

function writeAddress() {
  const address = view.instrument === null ? "" : `#${encodeURIComponent(view.instrument)}/${view.range}`;
  if (address && location.hash !== address) history.pushState(null, "", address);
}

function restored() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEPT) ?? "{}");
    // Only what has the type it should have: another version, or a hand, may have written it.
    return Object.fromEntries(Object.entries(DEFAULTS).filter(([key, value]) => typeof kept[key] === typeof value && Array.isArray(kept[key]) === Array.isArray(value)).map(([key]) => [key, kept[key]]));
  } catch {
    return {};
  }
}
