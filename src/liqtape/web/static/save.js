// Files of what is shown: a picture and a CSV of the chart. Made here, sent nowhere.

import { charted, plots } from "./chart.js";
import { ends } from "./charted.js";
import { byId } from "./dom.js";
import { colour } from "./marks.js";
import { store } from "./stream.js";
import { view } from "./view.js";

export function begin() {
  byId("save-picture").addEventListener("click", picture);
  byId("save-csv").addEventListener("click", () => charted && download(new Blob([csv(charted)], { type: "text/csv" }), "csv"));
}

function picture() {
  if (charted === null) return;
  const shown = Object.values(plots).map((plot) => plot.ctx.canvas).filter((canvas) => canvas.clientHeight > 0);
  if (shown.length === 0) return;
  const dpr = devicePixelRatio || 1;
  const head = 46 * dpr;
  const sheet = document.createElement("canvas");
  sheet.width = Math.max(...shown.map((canvas) => canvas.width));
  sheet.height = head + shown.reduce((sum, canvas) => sum + canvas.height, 0) + 8 * dpr;
  const pen = sheet.getContext("2d");
  pen.fillStyle = colour("--paper");
  pen.fillRect(0, 0, sheet.width, sheet.height);
  pen.fillStyle = colour("--ink");
  pen.font = `600 ${15 * dpr}px system-ui, sans-serif`;
  pen.fillText(`${charted.symbol}, ${view.range}: realised liquidations`, 10 * dpr, 20 * dpr);
  pen.font = `${11 * dpr}px system-ui, sans-serif`;
  const mode = store.now.mode === "live" ? "" : `${store.now.mode.toUpperCase()}, `;
  pen.fillText(`${mode}${new Date(store.now.as_of_ms).toISOString()}, liqtape; ${byId("sentence").textContent}`, 10 * dpr, 37 * dpr);
  let top = head;
  for (const canvas of shown) {
    pen.drawImage(canvas, 0, top);
    top += canvas.height;
  }
  sheet.toBlob((blob) => blob && download(blob, "png"));
}

// One line a step; what is unknown is empty. Times are UTC whatever the page shows.
export function csv(shown) {
  const names = Object.keys(shown.columns);
  const lines = [["until", "until_ms", "instrument", ...names].join()];
  ends(shown).forEach((end, index) => {
    const ms = Math.round(end * 1000);
    lines.push([new Date(ms).toISOString(), ms, field(shown.symbol), ...names.map((name) => shown.columns[name][index] ?? "")].join());
  });
  return `${lines.join("\r\n")}\r\n`;
}

// Quoted; what a spreadsheet would take for a formula gets an apostrophe.
function field(text) {
  return `"${(/^[=+\-@\t\r]/u.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`;
}

function download(blob, ending) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `liqtape-${charted.symbol.replace(/[^A-Za-z0-9_-]+/gu, "_")}-${view.range}-${new Date(store.now.as_of_ms).toISOString().slice(0, 19).replaceAll(":", "")}.${ending}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
