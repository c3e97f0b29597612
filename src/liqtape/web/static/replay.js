// A past in the page: where it stands, its speed, and how to go elsewhere in it.

import { byId, element, mark, say } from "./dom.js";
import { clock, span } from "./format.js";
import { store } from "./stream.js";
import { isUtc } from "./view.js";

const SPEEDS = [["1", "1 \u00d7"], ["10", "10 \u00d7"], ["60", "60 \u00d7"], ["600", "600 \u00d7"], ["max", "as fast as it can"]];

let isDragged = false;

export function begin() {
  byId("replay-speed").append(...SPEEDS.map(([value, text]) => element("option", { value }, text)));
  byId("replay-speed").addEventListener("change", (event) => order({ speed: event.target.value === "max" ? null : Number(event.target.value) }));
  byId("replay-pause").addEventListener("click", () => order({ is_paused: !store.now.replay.is_paused }));
  const seek = byId("replay-seek");
  seek.addEventListener("input", () => ((isDragged = true), tell(position())));
  seek.addEventListener("change", () => ((isDragged = false), order({ at_ms: Math.round(position()) })));
}

function position() {
  const { from_ms: from, until_ms: until } = store.now.replay;
  return from + ((until - from) * Number(byId("replay-seek").value)) / 1000;
}

function tell(ms) {
  const { from_ms: from, until_ms: until } = store.now.replay;
  const at = new Date(ms).toISOString().slice(0, 10);
  say(byId("replay-at"), `${at} ${clock(ms, isUtc())}, ${span((ms - from) / 1000)} of ${span((until - from) / 1000)}${store.now.replay.is_over ? ", at its end" : ""}`);
}

async function order(what) {
  const answer = await fetch("/api/v1/replay", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(what) });
  if (!answer.ok) say(byId("replay-at"), (await answer.json()).error);
}

export function paint() {
  const replay = store.now?.replay ?? null;
  byId("replay").hidden = replay === null;
  if (replay === null) return;
  say(byId("replay-pause"), replay.is_paused ? "Go on" : "Pause replay");
  mark(byId("replay-pause"), "aria-pressed", replay.is_paused);
  const speed = byId("replay-speed");
  const value = replay.speed === null ? "max" : String(replay.speed);
  if (![...speed.options].some((each) => each.value === value)) speed.append(element("option", { value }, `${value} \u00d7`));
  if (document.activeElement !== speed) speed.value = value;
  if (isDragged) return;
  byId("replay-seek").value = String(Math.round((1000 * (replay.at_ms - replay.from_ms)) / Math.max(1, replay.until_ms - replay.from_ms)));
  tell(replay.at_ms);
}
