// What the page knows: the newest of each kind that the node told, the connection, and the node's clock.
// It must not know how any of it is shown.

const KINDS = ["node", "state", "members", "changes", "events"];

/** The newest of everything; `changed(what)` is called after each change of a part, named by the kind of event. */
export class Model {
  constructor(changed) {
    this.changed = changed;
    this.node = null;
    this.state = null;
    this.members = null;
    this.changes = null;
    this.events = null;
    this.connection = { word: "connecting", detail: "", lostAt: null };
    this.clockAt = null; // performance.now() when the node told its time
    this.liveUntil = null; // likewise when what is shown was last what the node says
  }

  /** The node told this. Kinds that this page does not know are for newer ones. */
  told(kind, object) {
    if (!KINDS.includes(kind)) return;
    this[kind] = object;
    if (kind === "node") this.clockAt = performance.now();
    this.changed(kind);
  }

  /** The connection is of this kind now. */
  connected(word, detail = "") {
    const before = this.connection;
    if (before.word === "live") this.liveUntil = performance.now();
    // A page that rested is not lost while it connects; if that fails, it has been out of date since it rested.
    const lostAt = word === "live" ? null : (before.lostAt ?? (word === "lost" ? this.liveUntil : null));
    const kept = word === "connecting" ? before.detail : detail;
    this.connection = { word, detail: word === "live" ? "" : kept, lostAt };
    this.changed("connection");
  }

  /** What is shown is what the node says now. */
  get live() {
    return this.connection.word === "live" && this.node !== null;
  }

  /** Seconds since 1970 by the node's clock, whatever this computer's says; null before the node told it. */
  get now() {
    return this.node === null ? null : this.node.now + (performance.now() - this.clockAt) / 1000;
  }
}
