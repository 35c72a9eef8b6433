// Tells screen readers what matters, politely and seldom: a new value, a connection that is lost or back.
// It must not know how the rest of the page shows it.

import { byId } from "./dom.js";

const QUIET_MS = 1500; // a value that changes often is told when it has come to rest
const VALUE_SHOWN_MAX = 120;

export class Announcer {
  constructor() {
    this.place = byId("announcer");
    this.word = null;
    this.tag = null;
    this.timer = null;
  }

  render(model, parts) {
    if (parts.has("connection")) this.connection(model);
    if (parts.has("state") && model.state !== null && model.state.tag !== this.tag) {
      if (this.tag !== null) this.soon(`The value is now ${spoken(model.state)}.`);
      this.tag = model.state.tag;
    }
  }

  connection(model) {
    const { word, lostAt } = model.connection;
    if (word === "connecting" || word === this.word) return;
    if (word === "lost" && lostAt !== null) this.soon("Disconnected from the node. What is shown is old.");
    if (word === "live" && this.word !== null) this.soon("Connected to the node again.");
    this.word = word;
  }

  soon(text) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.place.textContent = text;
    }, QUIET_MS);
  }
}

function spoken(state) {
  if (state.text === undefined || state.text.length > VALUE_SHOWN_MAX) return "a long one";
  return `${state.text}, written at ${state.origin || "an unknown node"}`;
}
