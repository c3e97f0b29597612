// Puts the page together: every part paints from what the stream said last.

import * as chart from "./chart.js";
import * as context from "./context.js";
import { byId } from "./dom.js";
import * as instruments from "./instruments.js";
import * as keys from "./keys.js";
import * as notify from "./notify.js";
import { paintGone, paintNow } from "./now.js";
import * as paint from "./paint.js";
import * as pulse from "./pulse.js";
import * as replay from "./replay.js";
import * as save from "./save.js";
import { gone, listen, open, store } from "./stream.js";
import * as tape from "./tape.js";
import * as trust from "./trust.js";
import { applyTheme, readAddress, view } from "./view.js";

applyTheme();
readAddress();
for (const part of [keys, instruments, tape, context, trust, chart, pulse, save, replay, notify]) part.begin();

const known = (work) => () => store.now !== null && !gone() && work();
const unlessPaused = (work) => known(() => view.paused || work());

let isFirst = true;
listen("update", () => {
  if (document.hidden) return paintNow(); // the title of a tab nobody looks at
  if (isFirst) {
    // The first paint has data in it.
    isFirst = false;
    paintNow();
    instruments.refresh();
    tape.paint();
  }
});
listen("snapshot", () => {
  context.refreshCascades();
  context.refreshTogether();
  trust.refresh();
});
listen("gone", paintGone);

paint.repeat(250, known(paintNow));
paint.repeat(250, unlessPaused(tape.paint));
paint.repeat(500 / instruments.PARTS, unlessPaused(instruments.paint));
paint.repeat(1000, unlessPaused(instruments.settle));
paint.repeat(500, unlessPaused(chart.refresh));
paint.repeat(1000, known(pulse.paint));
paint.repeat(500, known(replay.paint));
paint.repeat(1000, known(trust.paint));
paint.repeat(5000, known(trust.refresh));
paint.repeat(5000, known(context.refreshCascades));
paint.repeat(5000, known(context.refreshTogether));
paint.begin();
open();

byId("legend").textContent = "\u25bc long closed, below zero \u00b7 \u25b2 short closed, above zero \u00b7 the area of a mark is its USD, the price levels show where it was. " +
  "All of these happened: realised liquidations, no forecast and no model of stops. Hatched: nobody watched; dotted: a window that reaches over it.";
