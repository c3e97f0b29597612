// A line of the whole market under the sentence: is it growing or fading? Liquidated USD of 15 minutes, shorts up, longs down.

import { MARKET, ask } from "./charted.js";
import { byId, say } from "./dom.js";
import { usd } from "./format.js";
import { colour } from "./marks.js";
import { listen, serviceMs, store } from "./stream.js";

const SPAN_S = 900;
const STEP_S = 5;
const BARS = SPAN_S / STEP_S;

let sums = new Map(); // step number -> [long, short]

export function begin() {
  listen("snapshot", load);
  listen("events", (events) => events.forEach((each) => add(each.event_ms, each.side, each.notional_usd ?? 0)));
}

async function load() {
  try {
    const { series } = await ask(`metrics/${MARKET}?seconds=${SPAN_S}&points=${BARS}`);
    sums = new Map();
    series.long_usd.forEach((long, index) => {
      const end = series.from_ms + (index + 1) * series.step_ms;
      sums.set(Math.floor((end - 1) / 1000 / STEP_S), [long ?? 0, series.short_usd[index] ?? 0]);
    });
  } catch {
    // It fills by itself from the stream.
  }
}

function add(atMs, side, value) {
  const step = Math.floor((atMs - 1) / 1000 / STEP_S);
  const sum = sums.get(step) ?? sums.set(step, [0, 0]).get(step);
  if (side === "long") sum[0] += value;
  if (side === "short") sum[1] += value;
}

// A quiet market looks quiet: the height is at least what a third of a usual minute takes in one step.
const least = () => (store.now?.times_usual ? store.now.usd_60s / store.now.times_usual / 3 : 0);

export function paint() {
  const canvas = byId("pulse-canvas");
  const dpr = devicePixelRatio || 1;
  const [width, height] = [Math.round(canvas.clientWidth * dpr), Math.round(canvas.clientHeight * dpr)];
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const last = Math.floor(serviceMs() / 1000 / STEP_S);
  for (const step of sums.keys()) if (step <= last - BARS) sums.delete(step);
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, width, height);
  let [long, short] = [0, 0];
  for (const [a, b] of sums.values()) [long, short] = [Math.max(long, a), Math.max(short, b)];
  const scale = (height - dpr) / Math.max(long + short, least(), 1);
  const zero = Math.round(Math.min(height - dpr, Math.max(dpr, (short * height) / Math.max(long + short, 1))));
  for (const [step, [longs, shorts]] of sums) {
    const left = width * (1 - (last - step + 1) / BARS);
    pen.fillStyle = colour("--short");
    pen.fillRect(left, zero - shorts * scale, width / BARS - dpr, shorts * scale);
    pen.fillStyle = colour("--long");
    pen.fillRect(left, zero, width / BARS - dpr, longs * scale);
  }
  pen.fillStyle = colour("--edge");
  pen.fillRect(0, zero, width, dpr);
  say(byId("pulse-note"), `Market, 15 min, most in 5 s: \u25bc ${usd(long)} \u25b2 ${usd(short)}`);
}
