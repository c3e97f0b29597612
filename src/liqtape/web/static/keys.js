// The keyboard, the buttons at the top and the help.

import { byId, element, mark, say } from "./dom.js";
import * as instruments from "./instruments.js";
import { setNotify, setSound } from "./notify.js";
import { RANGES, choose, onView, view } from "./view.js";

const KEYS = [
  ["/", "filter the instruments"], ["\u2191 \u2193 or k j", "move in the instruments"], ["Enter", "show the instrument in the chart"],
  ["1 to 5", `range: ${RANGES.map(([name]) => name).join(", ")}`], ["p", "pause the lists and the chart; the sentence goes on"],
  ["t", "theme: the system's, dark, light"], ["u", "times in UTC or local"], ["?", "this help"], ["Esc", "close, or leave the filter"],
];
const WORDS = [
  ["long closed \u25bc", "a long position was closed by force: a sale. Below zero in the charts."],
  ["short closed \u25b2", "a short position was closed by force: a purchase. Above zero."],
  ["WATCH, ALERT, CRITICAL", "the USD of 60 s that this instrument itself reaches once in 6 hours, a day, a week. EXTREME: the whole market at once."],
  ["\u00d7 usual", "USD of the last 60 s over the mean watched minute."],
  ["a message from once in", "what is so rare for the market is told to a person; learned so that all messages together keep their budget a week."],
  ["once in", "so much within 60 s comes once in so many watched days, by what was seen so far."],
  ["\u2265", "a venue prints at most one liquidation a second of an instrument: the true number is higher; the estimate stands beside it."],
  ["dotted underline", "partial: some of the window was not watched."],
  ["striped", "warming up: the window is longer than what was watched since the start."],
  ["\u2013", "unknown; point at it or move the focus to it for the reason. Unknown is never 0."],
  ["hatched", "nobody watched; a dotted line is a window that reaches over such a time."],
  ["price is", "fill: a price that was traded. bankruptcy: the price at which the position's margin was gone."],
];
const THEMES = ["auto", "dark", "light"];

export function begin() {
  byId("ranges").append(...RANGES.map(([name], index) => {
    const button = element("button", { type: "button", title: `Key ${index + 1}`, "data-range": name }, name);
    button.addEventListener("click", () => choose({ range: name }));
    return button;
  }));
  byId("theme").addEventListener("click", nextTheme);
  byId("zone").addEventListener("click", nextZone);
  byId("pause").addEventListener("click", pause);
  byId("more").addEventListener("click", help);
  makeHelp();
  document.addEventListener("keydown", pressed);
  onView(paint);
  paint();
}

const nextTheme = () => choose({ theme: THEMES[(THEMES.indexOf(view.theme) + 1) % THEMES.length] });
const nextZone = () => choose({ zone: view.zone === "utc" ? "local" : "utc" });
const pause = () => choose({ paused: !view.paused });
const help = () => (byId("help").open ? byId("help").close() : byId("help").showModal());

function paint() {
  for (const button of byId("ranges").children) mark(button, "aria-pressed", button.dataset.range === view.range);
  mark(byId("pause"), "aria-pressed", view.paused);
  say(byId("pause"), view.paused ? "Paused" : "Pause");
  say(byId("zone"), view.zone === "utc" ? "UTC" : "Local");
  mark(byId("zone"), "title", "Times in UTC or local (u)");
  say(byId("theme"), { auto: "Auto", dark: "Dark", light: "Light" }[view.theme]);
  mark(byId("theme"), "title", "Theme (t)");
  mark(byId("theme"), "aria-label", `Theme: ${view.theme}`);
}

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const target = event.target;
  if (event.key === "Escape" && target === byId("filter")) {
    target.value = "";
    target.dispatchEvent(new Event("input"));
    target.blur();
    return;
  }
  if (target.matches("input, select, textarea")) return;
  if (byId("help").open && event.key !== "?") return;
  const isScrolling = target.closest(".scroll") !== null && target.closest("#instruments") === null;
  const ways = {
    "/": () => byId("filter").focus(), j: () => instruments.step(1), k: () => instruments.step(-1), p: pause, t: nextTheme, u: nextZone, "?": help,
    ArrowDown: isScrolling ? null : () => instruments.step(1), ArrowUp: isScrolling ? null : () => instruments.step(-1),
    Enter: target.matches("button, a, summary") ? null : instruments.open,
  };
  const range = RANGES[Number(event.key) - 1];
  const way = range === undefined ? ways[event.key] : () => choose({ range: range[0] });
  if (!way) return;
  event.preventDefault();
  way();
}

function makeHelp() {
  const rows = (pairs) => element("table", {}, element("tbody", {}, ...pairs.map(([key, text]) => element("tr", {}, element("td", {}, key), element("td", {}, text)))));
  const sound = element("input", { type: "checkbox" });
  sound.checked = view.sound;
  sound.addEventListener("change", () => setSound(sound.checked));
  const notify = element("input", { type: "checkbox" });
  notify.checked = view.notify;
  notify.addEventListener("change", async () => (notify.checked = await setNotify(notify.checked)));
  const close = element("button", { type: "button" }, "Close");
  close.addEventListener("click", help);
  byId("help").append(
    element("h2", { id: "help-title" }, "Keys"), rows(KEYS), element("h2", {}, "Words and signs"), rows(WORDS),
    element("h2", {}, "Off unless you want it"),
    element("label", {}, sound, "a sound for liquidations from $10k, louder with the USD, lower for longs"),
    element("label", {}, notify, "a notification of the browser when the market's level rises to ALERT or above"), close);
}
