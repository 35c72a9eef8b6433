// Elements, made and changed without ever turning text into markup: names, tags and values come from strangers.
// It must not know what is shown.

const SVG = "http://www.w3.org/2000/svg";

/** The element with this id. */
export const byId = (id) => document.getElementById(id);

/** A new element; `attributes` with "text" for its text, and children, elements or texts. */
export function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** Likewise of SVG. */
export function shape(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") node.textContent = value;
    else if (value !== null && value !== undefined && value !== false)
      node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

/** The element has this text; it is not touched if it has it already, so that no reader hears it twice. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** The element is there, or not. */
export function show(node, shown) {
  node.hidden = !shown;
}

/** The element has an attribute of this value; null: it has none. */
export function setAttribute(node, name, value) {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

/** The button can be used, or not: it is not disabled then, which would take the focus away. Who hears it looks. */
export function enable(button, usable) {
  setAttribute(button, "aria-disabled", usable ? null : "true");
}

/** It can be used. */
export const enabled = (button) => button.getAttribute("aria-disabled") !== "true";
