// Puts the rest of the page together: every part paints from what the stream said last.

import * as chart from "./chart.js";
import * as context from "./context.js";
import { byId } from "./dom.js";
import * as instruments from "./instruments.js";
import * as keys from "./keys.js";
import * as notify from "./notify.js";
import { paintNow } from "./now.js";
import * as paint from "./paint.js";
import * as pulse from "./pulse.js";
import * as replay from "./replay.js";
import * as save from "./save.js";
import { gone, listen, store } from "./stream.js";
import * as tape from "./tape.js";
import * as trust from "./trust.js";
import { view } from "./view.js";

for (const part of [keys, instruments, tape, context, trust, chart, pulse, save, replay, notify]) part.begin();

const known = (work) => () => store.connections > 0 && !gone() && work();
const unlessPaused = (work) => known(() => view.paused || work());

let isFirst = true;
listen("snapshot", () => {
  if (isFirst) {
    // The tables are there with the first snapshot, not when their turn comes.
    isFirst = false;
    instruments.refresh();
    tape.paint();
    chart.refresh();
  }
  context.refreshCascades();
  context.refreshTogether();
  trust.refresh();
});

paint.repeat(250, known(paintNow));
paint.repeat(250, unlessPaused(tape.paint));
paint.repeat(500 / instruments.PARTS, unlessPaused(instruments.paint));
paint.repeat(1000, unlessPaused(instruments.settle));
paint.repeat(500, unlessPaused(chart.refresh));
paint.repeat(1000, known(pulse.paint));
paint.repeat(500, known(replay.paint));
paint.repeat(1000, known(trust.paint));
for (const refresh of [trust.refresh, context.refreshCascades, context.refreshTogether]) paint.repeat(5000, known(refresh), { after: 5000 });
paint.begin();

byId("legend").textContent = "\u25bc long closed, below zero \u00b7 \u25b2 short closed, above zero \u00b7 the area of a mark is its USD, the price levels show where it was. " +
  "All of these happened: realised liquidations, no forecast and no model of stops. Hatched: nobody watched; dotted: a window that reaches over it.";
