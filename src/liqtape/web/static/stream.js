// What the service said last, and for how long it has said nothing. The only module that knows the messages of the stream.

const EVENTS_KEPT = 2000;
const GONE_MS = 4000; // the service speaks at least once a second
const RECONNECT_MS = 12_000; // a connection that died in a sleep never says so

export const store = {
  now: null, asOfMs: 0, rows: new Map(), events: [], health: [], gaps: [], leftOut: 0, missed: 0, receivedAt: 0, connections: 0,
};

const listeners = { snapshot: [], update: [], events: [], alerts: [], gone: [] };
let source = null;
let openedAt = 0;
let isGone = false;

export function listen(kind, listener) {
  listeners[kind].push(listener);
  if (kind === "snapshot" && store.connections > 0) listener(); // it came before the listener
}

// The first word. The page asks for it beside the scripts, and a snapshot of everything takes longer to make.
export async function askNow() {
  try {
    const now = await (await fetch("/api/v1/now")).json();
    if (store.now !== null || now.trust === undefined) return;
    Object.assign(store, { now, asOfMs: now.as_of_ms, receivedAt: Date.now() });
    tell("update", { now });
  } catch {
    // The stream will say it, or that nobody answers.
  }
}

export function open() {
  source?.close();
  source = new EventSource("/api/v1/stream");
  openedAt = Date.now();
  source.addEventListener("snapshot", (message) => took(takeSnapshot, message));
  source.addEventListener("update", (message) => took(takeUpdate, message));
  source.addEventListener("error", () => {
    // Refused with a status: the browser does not try again by itself.
    if (source.readyState === EventSource.CLOSED) setTimeout(watch, 1000);
  });
}

// Seconds since the last word; the page's clock only measures what has passed since.
export const silence = () => (store.receivedAt === 0 ? null : (Date.now() - store.receivedAt) / 1000);

// The time of the service now, in ms, by its own clock.
export const serviceMs = () => (store.now === null ? Date.now() : store.asOfMs + (store.now.replay ? 0 : Math.max(0, Date.now() - store.receivedAt)));

export function watch() {
  if (Date.now() < store.receivedAt) store.receivedAt = openedAt = Date.now(); // the browser's clock was put back
  const quiet = Date.now() - Math.max(store.receivedAt, openedAt);
  if (source.readyState === EventSource.CLOSED || quiet > RECONNECT_MS) open();
  const gone = Date.now() - (store.receivedAt || openedAt) > GONE_MS;
  if (gone !== isGone || gone) tell("gone", gone);
  isGone = gone;
}

export const gone = () => isGone;

setInterval(watch, 1000);
document.addEventListener("visibilitychange", () => source && watch());

function tell(kind, what) {
  for (const listener of listeners[kind]) listener(what);
}

function took(take, message) {
  const said = JSON.parse(message.data);
  store.receivedAt = Date.now();
  store.now = said.now;
  store.asOfMs = said.as_of_ms; // that of the market in `now` may be a second older
  take(said);
  if (isGone) watch();
}

function takeSnapshot(said) {
  store.connections += 1;
  store.rows = new Map(said.rows.map((row) => [row.symbol, row]));
  store.events = said.events.slice();
  store.health = said.health;
  store.gaps = said.gaps;
  store.missed = said.missed ?? 0;
  store.leftOut = 0;
  tell("snapshot");
  tell("update", said);
}

function takeUpdate(said) {
  for (const row of said.rows ?? []) {
    if (row.event_count_300s === 0) store.rows.delete(row.symbol);
    else store.rows.set(row.symbol, row);
  }
  const events = said.events ?? [];
  store.events.push(...events);
  if (store.events.length > EVENTS_KEPT + 500) store.events.splice(0, store.events.length - EVENTS_KEPT);
  store.leftOut += said.events_left_out ?? 0;
  if (said.health?.length) store.health = said.health;
  if (said.gaps?.length) store.gaps = mergedGaps(said.gaps);
  if (events.length) tell("events", events);
  if (said.alerts?.length) tell("alerts", said.alerts);
  tell("update", said);
}

function mergedGaps(news) {
  const key = (gap) => `${gap.venue}|${gap.from_ms}`;
  const merged = new Map([...store.gaps, ...news].map((gap) => [key(gap), gap]));
  return [...merged.values()].slice(-1000);
}
