// The token that the node may ask for: kept for this tab alone, until it is closed, and sent as a header.
// It must not know what is asked with it.

const KEY = "onevalue.token";

export class Token {
  get text() {
    return sessionStorage.getItem(KEY) ?? "";
  }

  set text(text) {
    if (text === "") sessionStorage.removeItem(KEY);
    else sessionStorage.setItem(KEY, text);
  }

  headers() {
    return this.text === "" ? {} : { Authorization: `Bearer ${this.text}` };
  }
}
