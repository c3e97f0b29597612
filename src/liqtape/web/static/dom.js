// The only module that makes elements. All text goes in as text: nothing a venue sends is ever markup.

export const byId = (id) => document.getElementById(id);

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") made.className = value;
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

const SVG = "http://www.w3.org/2000/svg";

export function drawing(tag, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// Write only what changed, so that a quiet page costs nothing and a selection of text survives.
export function say(node, text) {
  const only = node.firstChild;
  if (only?.nodeType === Node.TEXT_NODE && only.nextSibling === null) {
    if (only.data !== text) only.data = text; // cheaper than a new node
  } else if (node.textContent !== text) node.textContent = text;
}

export function mark(node, name, value) {
  if (value === null || value === false) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

// A text with its reason, shown on hover and on focus and read by a screen reader.
export function why(text, because, kind = "") {
  return element("span", { class: `why ${kind}`.trim(), tabindex: "0" }, text, element("span", { class: "because" }, ` ${because}`));
}

// Put what `figure` of states.js says into a cell. The cell remembers it, so that an equal one is not made again.
export function show(node, figure) {
  const key = `${figure.text}|${figure.kind}|${figure.because ?? ""}|${figure.note ?? ""}`;
  if (node.dataset.shown === key) return;
  node.dataset.shown = key;
  const before = node.querySelector(".why");
  const isFocused = before !== null && before === document.activeElement;
  const body = figure.because ? why(figure.text, figure.because, figure.kind) : element("span", { class: figure.kind }, figure.text);
  node.replaceChildren(body);
  if (figure.note) node.append(element("span", { class: "note" }, ` ${figure.note}`));
  // A new number leaves the keyboard where it is.
  if (before !== null && figure.because) body.tabIndex = before.tabIndex;
  if (isFocused) (figure.because ? body : node.closest("tr")?.querySelector("button"))?.focus({ preventScroll: true });
}

// A name that may be too long for its column is clipped: each clip is a layer more for the browser, and most names are short.
export function cut(name) {
  if (name.length > 12 || /[^ -~]/u.test(name)) return " cut";
  return name.length > 9 ? " cut-narrow" : "";
}

export function levelMark(level) {
  return element("b", { class: "level", "data-level": level }, level === "NONE" ? "calm" : level);
}

export function sideMark(side, marks) {
  const known = marks[side];
  return known ? element("span", { class: side }, `${known.mark} ${known.word}`) : element("span", {}, "unknown side");
}
