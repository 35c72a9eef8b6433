// Tells screen readers what matters, politely and seldom: a new value, a connection that is lost or back, what is
// wrong. It must not know how the rest of the page shows it.

import { byId } from "./dom.js";

const QUIET_MS = 1500; // a value that changes often is told when it has come to rest
const VALUE_SHOWN_MAX = 120;
const WRONG = [
  [(node) => node.isolated, "This node is isolated."],
  [(node) => node.engine_trouble, "Its Serf agent is away."],
  [(node) => node.journal.trouble, "Its disk does not take writes."],
  [(node) => node.not_ready, "It takes no writes."],
];

export class Announcer {
  constructor() {
    this.place = byId("announcer");
    this.word = null;
    this.tag = null;
    this.wrong = "";
    this.timers = {}; // by kind
  }

  render(model, parts) {
    if (parts.has("connection")) this.connection(model);
    if (parts.has("node") && model.node !== null) this.trouble(model.node);
    if (parts.has("state") && model.state !== null && model.state.tag !== this.tag) {
      if (this.tag !== null) this.soon("value", `The value is now ${spoken(model.state)}.`);
      this.tag = model.state.tag;
    }
  }

  connection(model) {
    const { word, lostAt } = model.connection;
    if (word === "connecting" || word === this.word) return;
    if (word === "lost" && lostAt !== null)
      this.soon("connection", "Disconnected from the node. What is shown is old.");
    if (word === "live" && this.word !== null) this.soon("connection", "Connected to the node again.");
    this.word = word;
  }

  trouble(node) {
    const holding = WRONG.filter(([holds]) => holds(node) !== null);
    const wrong = holding.map(([, words]) => words).join(" ");
    if (wrong !== this.wrong) this.soon("trouble", wrong || "Nothing is wrong with this node any more.");
    this.wrong = wrong;
  }

  soon(kind, text) {
    clearTimeout(this.timers[kind]);
    this.timers[kind] = setTimeout(() => {
      this.place.textContent = text;
    }, QUIET_MS);
  }
}

function spoken(state) {
  if (state.text === undefined || state.text.length > VALUE_SHOWN_MAX) return "a long one";
  return `${state.text}, written at ${state.origin || "an unknown node"}`;
}
