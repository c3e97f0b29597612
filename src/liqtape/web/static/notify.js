// Optional and off: a click of sound for each liquidation, louder with its USD, and a note when the market's level rises.

import { RANKS } from "./format.js";
import { listen, store } from "./stream.js";
import { choose, view } from "./view.js";

const LEAST_USD = 10_000;
const MOST_AT_ONCE = 3;

let audio = null;
let level = null;

export function begin() {
  listen("events", (events) => view.sound && sound(events));
  listen("update", rise);
}

export function setSound(isOn) {
  choose({ sound: isOn });
  if (isOn) audio ??= new AudioContext();
}

export async function setNotify(isOn) {
  const isAllowed = isOn && "Notification" in window && (await Notification.requestPermission()) === "granted";
  choose({ notify: isAllowed });
  return isAllowed;
}

function sound(events) {
  audio ??= new AudioContext();
  const loudest = events.filter((each) => each.notional_usd >= LEAST_USD).sort((a, b) => b.notional_usd - a.notional_usd).slice(0, MOST_AT_ONCE);
  loudest.forEach((each, index) => {
    const start = audio.currentTime + 0.06 * index;
    const tone = audio.createOscillator();
    const volume = audio.createGain();
    tone.frequency.value = each.side === "long" ? 220 : 440;
    volume.gain.setValueAtTime(Math.min(0.25, 0.03 * (Math.log10(each.notional_usd) - 3)), start);
    volume.gain.exponentialRampToValueAtTime(0.0001, start + 0.15);
    tone.connect(volume).connect(audio.destination);
    tone.start(start);
    tone.stop(start + 0.16);
  });
}

function rise() {
  const next = store.now.level;
  if (view.notify && level !== null && RANKS[next] > RANKS[level] && RANKS[next] >= RANKS.ALERT) {
    try {
      new Notification(`${next}: liquidations`, { body: store.now.instruments.slice(0, 3).map((each) => each.name).join(", "), tag: "liqtape" });
    } catch {
      choose({ notify: false }); // browsers of phones want a service worker for it
    }
  }
  level = next;
}
