// The value, large, with its generation, who wrote it and when, and how many members hold it.
// It must not know how it is changed.

import { byId, element, enable, enabled, setText, show } from "./dom.js";
import { ago, clock, counted, size } from "./format.js";
import { indented, kindOf } from "./jsontext.js";

const LARGE_MAX = 12; // characters of a value in the largest letters
const MIDDLE_MAX = 28;
const SMALL_MAX = 120; // beyond, and for objects and lists, it is a text on many lines

export class ValueView {
  constructor(edit) {
    this.value = byId("value");
    this.button = byId("edit");
    this.button.addEventListener("click", () => enabled(this.button) && edit());
    this.tag = null;
  }

  render(model, parts) {
    if (parts.has("state") && model.state !== null) this.state(model.state);
    if (model.state !== null && model.node !== null) this.when(model.state, model.now);
    if ((parts.has("members") || parts.has("node")) && model.members !== null)
      this.held(model.members, model.node?.learning ?? false);
    if (parts.has("connection") || parts.has("node") || parts.has("state")) this.editable(model);
  }

  state(state) {
    if (state.tag === this.tag) return;
    const first = this.tag === null;
    this.tag = state.tag;
    this.value.replaceChildren(...shown(state));
    this.value.dataset.size = sizeOf(state);
    this.value.toggleAttribute("tabindex", false);
    if (this.value.dataset.size === "block") {
      this.value.tabIndex = 0; // it may scroll, also by keyboard
      this.value.setAttribute("role", "region");
      this.value.setAttribute("aria-label", "The value as JSON");
    } else {
      this.value.removeAttribute("role");
      this.value.removeAttribute("aria-label");
    }
    if (!first) this.value.animate?.([{ opacity: 0.25 }, { opacity: 1 }], motion() ? 600 : 1);
    show(byId("value-facts"), true);
    setText(byId("fact-generation"), state.tag.split("-")[0]); // as a text it is exact
    setText(byId("fact-origin"), state.origin || (state.generation === 0 ? "the start, by nobody" : "not known"));
    setText(byId("fact-tag"), state.tag);
    const kind = state.text === undefined ? "a large value" : kindOf(state.text);
    setText(byId("fact-kind"), `${kind}, ${size(state.size)}`);
  }

  when(state, now) {
    const told = state.time > 0 ? `${ago(Math.max(0, now - state.time))}, ${clock(state.time, now)}` : "–";
    setText(byId("fact-time"), told);
  }

  held({ holding, totals, count }, learning) {
    const { yes, no, unknown } = holding;
    const all = yes + no + unknown;
    const rest = [no > 0 && `${no} not yet`, unknown > 0 && `${unknown} not known`].filter(Boolean).join(", ");
    byId("value-held").dataset.all = String(yes === all && totals.failed === 0 && !learning);
    if (all === 1 && learning) setText(byId("value-held"), "Held by this node; what others hold is not known yet");
    else if (all === 1)
      setText(byId("value-held"), `Held by this node, the only one${count > 1 ? " that is alive" : ""}`);
    else if (yes === all) setText(byId("value-held"), `Held by all ${all} nodes that are alive`);
    else setText(byId("value-held"), `Held by ${yes} of ${counted(all, "node")} that are alive; ${rest}`);
  }

  editable(model) {
    let why = "";
    if (!model.live) why = "It can be changed when the page is connected again.";
    else if (model.node.not_ready !== null) why = `It cannot be changed here now: ${model.node.not_ready}.`;
    enable(this.button, why === "" && model.state !== null);
    setText(byId("edit-why-not"), why);
    show(byId("edit-why-not"), why !== "" && model.state !== null);
  }
}

function sizeOf(state) {
  if (state.text === undefined) return "small";
  if ("{[".includes(state.text[0]) && state.text.length > 2) return "block";
  if (state.text.length <= LARGE_MAX) return "large";
  if (state.text.length <= MIDDLE_MAX) return "middle";
  return state.text.length <= SMALL_MAX ? "small" : "block";
}

function shown(state) {
  if (state.text === undefined)
    return [`A value of ${size(state.size)}: it is shown when you change it, and at /get`];
  if (state.text[0] === '"') {
    const quote = () => element("span", { class: "quote", text: '"' });
    return [quote(), state.text.slice(1, -1), quote()];
  }
  return [sizeOf(state) === "block" ? indented(state.text) : state.text];
}

function motion() {
  return !matchMedia("(prefers-reduced-motion: reduce)").matches;
}
