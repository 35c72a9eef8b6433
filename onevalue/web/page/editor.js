// The dialog that changes the value: written, confirmed with the old one beside it, and made only upon the state that
// was seen; if another was faster, that one is shown, and the person decides. It must not know how the value is shown.

import { byId, enable, setText, show } from "./dom.js";
import { counted, duration } from "./format.js";
import { faultOf, firstMember, indented } from "./jsontext.js";
import { detailOf, strange } from "./refusals.js";

const ANSWER_TIME_MAX_MS = 15_000;
const LOOK_TIME_MS = 800;
const LOST = "The page is disconnected; wait until it is back.";

export class Editor {
  constructor(model, token) {
    this.model = model;
    this.token = token;
    this.base = null; // the state that the person saw: tag, text, origin
    this.next = null; // one that came after it
    this.step = "write"; // then "confirm", and "overtaken" if another change came meanwhile
    this.busy = false;
    this.looking = false; // the new value has been asked for, or is there since a moment
    this.opened = 0; // how often: a write may be answered when it has been left, and the dialog is open for another
    this.dialog = byId("editor");
    this.text = byId("editor-text");
    this.go = byId("editor-go");
    byId("editor-form").addEventListener("submit", (event) => {
      event.preventDefault();
      if (!this.ready) return;
      if (this.step === "write") this.confirm();
      else if (this.step === "confirm") this.write();
      else this.look();
    });
    byId("editor-form").addEventListener("change", () => this.judge());
    this.text.addEventListener("input", () => this.judge());
    this.text.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byId("editor-form").requestSubmit();
    });
    byId("editor-back").addEventListener("click", () => this.enter("write"));
    byId("editor-cancel").addEventListener("click", () => this.dialog.close());
  }

  get as() {
    return new FormData(byId("editor-form")).get("editor-as");
  }

  /** The dialog is open, upon the state that is shown now. */
  async open() {
    const state = this.model.state;
    this.opened += 1;
    this.busy = this.looking = false;
    this.base = state.text === undefined ? null : state;
    show(byId("editor-gate"), false);
    this.as_("json");
    this.text.value = "";
    this.dialog.showModal();
    this.enter("write");
    if (this.base === null) {
      const found = await this.load();
      if (found === null) return;
      this.base = found;
    }
    this.text.value = this.base.text.length > 60 ? indented(this.base.text) : this.base.text;
    this.text.select();
    this.judge();
  }

  as_(kind) {
    for (const radio of byId("editor-form").elements["editor-as"]) radio.checked = radio.value === kind;
  }

  /** A value that is too large for the stream, as it is now; null: the person has left, or is told why. */
  async load() {
    const { opened } = this;
    try {
      const answer = await fetch("/v1/value", { headers: this.token.headers(), cache: "no-store" });
      if (!answer.ok) throw new Error((await detailOf(answer)) ?? strange(answer));
      const body = await answer.text();
      if (faultOf(body) !== null) throw new Error(strange(answer));
      const { origin, tag } = JSON.parse(body);
      return opened === this.opened ? { tag, origin, text: firstMember(body) } : null;
    } catch (error) {
      if (opened === this.opened) setText(byId("editor-problem"), `The value could not be fetched: ${error.message}.`);
      return null;
    }
  }

  /** The button does what it says. */
  get ready() {
    if (this.busy || this.looking || !this.model.live) return false;
    return this.step !== "write" || this.fault() === null;
  }

  /** While it is open, it says what changes meanwhile. */
  render(model, parts) {
    if (!this.dialog.open) return;
    const { state } = model;
    if (parts.has("state") && state.tag !== this.base?.tag && this.base !== null && !this.busy) this.overtaken(state);
    enable(this.go, this.ready);
    const problem = byId("editor-problem");
    if (model.connection.lostAt !== null) setText(problem, LOST);
    else if (problem.textContent === LOST) setText(problem, "");
  }

  /** Another change came: before the confirmation it is what will be confirmed; after it, it has to be looked at. */
  overtaken(state) {
    const by = state.origin ? ` at ${state.origin}` : "";
    const value = state.text === undefined || state.text.length > 60 ? "" : ` It is ${state.text} now.`;
    setText(byId("editor-news"), `The value was changed${by} meanwhile.${value}`);
    show(byId("editor-news"), true);
    this.next = state.text === undefined ? null : state;
    if (this.step === "write") this.base = this.next ?? this.base;
    else this.outdated();
  }

  /** What was seen is old: before anything is written, the newest has to be looked at. */
  outdated() {
    this.step = "overtaken";
    setText(byId("editor-old-heading"), "What you saw");
    setText(this.go, "Show the new value");
  }

  /** The newest value stands where the old one stood, and has to be confirmed anew. */
  async look() {
    setText(byId("editor-problem"), "");
    this.wait(true);
    const found = this.next ?? (await this.load());
    if (found === null || this.step !== "overtaken") {
      this.wait(false);
      return;
    }
    this.base = found;
    this.enter("confirm");
    setText(byId("editor-heading"), "Write over the new value?");
    setTimeout(() => this.wait(false), LOOK_TIME_MS); // who clicked twice has not looked
  }

  wait(looking) {
    this.looking = looking;
    enable(this.go, this.ready);
  }

  fault() {
    if (this.base === null) return "";
    return this.as === "json" ? faultOf(this.text.value) : null;
  }

  judge() {
    const fault = this.fault();
    const typed = this.text.value.trim();
    const bare = fault !== null && this.as === "json" && /^[\p{L}\p{N}_./:+-]+$/u.test(typed);
    setText(
      byId("editor-fault"),
      bare ? `This is not JSON. To write the text “${typed}”, choose “Text”.` : (fault ?? ""),
    );
    this.text.setAttribute("aria-invalid", String(fault !== null && this.text.value !== ""));
    enable(this.go, this.ready);
  }

  /** The JSON to be written, as it was typed. */
  get wanted() {
    return this.as === "json" ? this.text.value.trim() : JSON.stringify(this.text.value);
  }

  enter(step) {
    this.step = step;
    setText(byId("editor-problem"), "");
    show(byId("editor-write"), step === "write");
    show(byId("editor-confirm"), step === "confirm");
    show(byId("editor-back"), step === "confirm");
    if (step === "confirm") show(byId("editor-news"), false);
    setText(byId("editor-heading"), step === "write" ? "Change the value" : "Write it to all members?");
    setText(this.go, step === "write" ? "Continue" : "Write it");
    if (step === "write") {
      show(byId("editor-news"), false);
      this.text.focus();
      this.judge();
      return;
    }
    setText(byId("editor-old-heading"), "Now");
    setText(byId("editor-old"), indented(this.base.text));
    setText(byId("editor-new"), indented(this.wanted));
    const { totals } = this.model.members ?? { totals: { alive: 1 } };
    setText(
      byId("editor-reach"),
      `It replaces the value on ${totals.alive > 1 ? `all ${counted(totals.alive, "member")}` : "this node"}.`,
    );
    enable(this.go, this.ready);
  }

  confirm() {
    this.enter("confirm");
    this.go.focus();
  }

  async write() {
    setText(byId("editor-problem"), ""); // what is said anew is heard anew
    const given = byId("editor-token").value.trim();
    if (given !== "") this.token.text = given;
    byId("editor-token").value = "";
    const { opened } = this;
    this.working(true);
    try {
      await this.put(opened);
    } catch (error) {
      if (opened !== this.opened) return;
      const why =
        error.name === "TimeoutError"
          ? `it has not answered for ${duration(ANSWER_TIME_MAX_MS / 1000)}`
          : error.message;
      setText(
        byId("editor-problem"),
        `The node could not be asked (${why}). Whether it was written is open: look before you try again.`,
      );
    }
    if (opened === this.opened) this.working(false);
  }

  working(busy) {
    this.busy = busy;
    enable(this.go, this.ready);
    if (this.step === "confirm") setText(this.go, busy ? "Writing" : "Write it");
  }

  async put(opened) {
    const answer = await fetch("/v1/value", {
      method: "PUT",
      headers: { "Content-Type": "application/json", "If-Match": `"${this.base.tag}"`, ...this.token.headers() },
      body: this.wanted,
      signal: AbortSignal.timeout(ANSWER_TIME_MAX_MS),
    });
    const detail = answer.ok ? null : await detailOf(answer);
    if (opened !== this.opened) return;
    if (answer.ok) {
      this.dialog.close();
      return;
    }
    if (detail === null) throw new Error(strange(answer)); // a proxy may have sent it on
    if (answer.status === 412) this.lost();
    else {
      const gate = answer.status === 401 || answer.status === 403;
      show(byId("editor-gate"), gate);
      setText(byId("editor-problem"), `It was not written: ${detail}.`);
      if (gate) byId("editor-token").focus();
    }
  }

  /** Another write was faster: the stream tells of it, or has done so meanwhile. */
  lost() {
    this.next = null;
    if (this.step === "confirm") this.outdated();
    if (this.model.state.tag !== this.base.tag) this.overtaken(this.model.state);
    setText(byId("editor-problem"), "It was not written: another change was faster.");
  }
}
