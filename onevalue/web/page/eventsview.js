// What happened last, newest first. It must not know where events come from.

import { byId, element, setAttribute, setText, show } from "./dom.js";
import { clock } from "./format.js";
import { icon } from "./mark.js";

const SHOWN_FIRST = 8;
const MARKS = {
  joined: ["alive", "yes"],
  recovered: ["alive", "yes"],
  ready: ["alive", "yes"],
  agent: ["alive", "yes"],
  suspected: ["suspect", "no"],
  refuted: ["suspect", "no"],
  conflict: ["failed", "none"],
  failed: ["failed", "none"],
  disk: ["failed", "none"],
  "agent-away": ["failed", "none"],
  left: ["left", "none"],
  forgotten: ["left", "none"],
};

export class EventsView {
  constructor() {
    this.items = new Map(); // by seq and text: a node that has started anew counts from 1 again
    this.all = false;
    this.button = byId("events-all");
    this.button.addEventListener("click", () => {
      this.all = !this.all;
      this.show();
    });
  }

  render(model, parts) {
    if (!parts.has("events") || model.events === null) return;
    const kept = new Map();
    for (const event of model.events.events) {
      const key = `${event.seq} ${event.kind} ${event.text}`;
      const item = this.items.get(key) ?? made(event);
      setText(item.firstChild, clock(event.time, model.now ?? undefined));
      setText(item.lastChild, event.times > 1 ? ` ${event.times} times` : "");
      kept.set(key, item);
    }
    this.items = kept;
    this.show();
  }

  show() {
    const items = [...this.items.values()].reverse();
    byId("events").replaceChildren(...(this.all ? items : items.slice(0, SHOWN_FIRST)));
    show(this.button, items.length > SHOWN_FIRST);
    setText(this.button, this.all ? "Show fewer" : `Show all ${items.length}`);
    setAttribute(this.button, "aria-expanded", this.all);
  }
}

function made(event) {
  const [status, holds] = MARKS[event.kind] ?? ["neutral", "none"];
  const text = element("span", { text: event.text }); // not capitalized: it may begin with a name
  return element("li", {}, element("time"), icon(status, holds), text, element("span", { class: "times" }));
}
