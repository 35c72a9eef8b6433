// Reads server-sent events (WHATWG HTML, 9.2.6) from pieces of text, as a fetch hands them out.
// It must not know where the text comes from, nor what the events mean.

/** Gives each complete event {name, data} to `tell`; comments, ids and retry times are of no use here. */
export class EventReader {
  constructor(tell) {
    this.tell = tell;
    this.rest = ""; // a line that is not complete
    this.name = "";
    this.data = [];
  }

  /** More text has come; a line may be cut anywhere. */
  read(text) {
    const whole = this.rest + text;
    // A return at the very end may be half of a line break: it waits for what follows.
    const end = whole.endsWith("\r") ? whole.length - 1 : whole.length;
    const lines = whole.slice(0, end).split(/\r\n|\n|\r/);
    this.rest = lines.pop() + whole.slice(end);
    for (const line of lines) this.readLine(line);
  }

  readLine(line) {
    if (line === "") {
      if (this.data.length > 0) this.tell({ name: this.name || "message", data: this.data.join("\n") });
      this.name = "";
      this.data = [];
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") this.name = value;
    if (field === "data") this.data.push(value);
  }
}
