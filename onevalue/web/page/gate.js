// The form for a token, when the node lets nobody read without one. It must not know what is read.

import { byId, setText, show } from "./dom.js";

export class Gate {
  constructor(token, stream) {
    this.token = token;
    this.form = byId("gate");
    this.input = byId("gate-token");
    this.forget = byId("forget");
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      token.text = this.input.value.trim();
      this.input.value = "";
      stream.retryNow();
    });
    this.forget.addEventListener("click", () => {
      token.text = "";
      location.reload();
    });
  }

  render(model, parts) {
    show(this.forget, this.token.text !== "");
    const denied = model.connection.word === "denied";
    show(byId("for-programs"), this.token.text === "" && !denied); // a link sends no token
    if (!parts.has("connection")) return;
    const opens = denied && this.form.hidden;
    const refused = this.token.text !== "";
    if (denied)
      setText(
        byId("gate-why"),
        refused ? "It does not know the token that was sent." : "Any token of its token file will do.",
      );
    document.body.classList.toggle("empty", denied && model.node === null);
    if (model.connection.word !== "connecting") show(this.form, denied);
    if (opens) this.input.focus();
  }
}
