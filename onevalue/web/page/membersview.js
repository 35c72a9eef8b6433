// The members: a summary in words, the picture, and a table that can be sorted, those in trouble first.
// It must not know how the picture is drawn.

import { byId, element, setAttribute, setText, show } from "./dom.js";
import { counted, duration } from "./format.js";
import { HOLDS, STATUSES, holdingOf, icon, statusOf } from "./mark.js";
import { Picture } from "./picture.js";

const ROWS_FIRST = 12;
const byName = new Intl.Collator("en", { numeric: true }).compare; // n2 before n10
const rank = (member) => STATUSES[statusOf(member)]?.rank ?? 9;
const HOLDING_RANKS = { no: 0, unknown: 1, yes: 2, none: 3 };
const COLUMNS = [
  { name: "Member", by: (member) => member.name },
  { name: "Status", by: rank },
  { name: "The value", by: (member) => HOLDING_RANKS[holdingOf(member)] },
  { name: "Round trip", by: (member) => member.rtt_s ?? Infinity, class: "number" },
];
const LEGEND = [
  ["alive", "yes", "alive, holds the value"],
  ["alive", "no", "not yet"],
  ["alive", "unknown", "not known"],
  ["suspect", "yes", "suspect"],
  ["failed", "none", "failed"],
  ["leaving", "yes", "leaving"],
  ["left", "none", "left"],
];

export class MembersView {
  constructor() {
    this.picture = new Picture(byId("picture"));
    this.rows = new Map(); // by name
    this.sortedBy = 1;
    this.downwards = false;
    this.all = false;
    this.button = byId("members-all");
    this.heads = COLUMNS.map((column, index) => this.head(column, index));
    byId("members-head").append(...this.heads);
    byId("legend").append(...LEGEND.map(([status, holds, text]) => element("li", {}, icon(status, holds), text)));
    this.button.addEventListener("click", () => {
      this.all = !this.all;
      this.table();
    });
  }

  head(column, index) {
    const button = element("button", { type: "button", class: "sort", text: column.name });
    button.addEventListener("click", () => {
      this.downwards = index === this.sortedBy && !this.downwards;
      this.sortedBy = index;
      this.table();
    });
    return element("th", { scope: "col", class: column.class }, button);
  }

  render(model, parts) {
    const learning = model.node?.learning ?? false;
    if (model.members === null || !(parts.has("members") || learning !== this.learning)) return;
    [this.told, this.learning] = [model.members, learning];
    const summary = learning && this.told.count === 1 ? "No other member is known yet." : summed(this.told);
    setText(byId("members-summary"), summary);
    this.picture.render(this.told.members, this.told.me, this.told.holding, `The members: ${summary}`);
    setText(byId("members-note"), noted(this.told));
    this.table();
  }

  table() {
    if (!this.told) return;
    this.heads.forEach((head, index) => {
      const sorted = index === this.sortedBy ? (this.downwards ? "descending" : "ascending") : null;
      setAttribute(head, "aria-sort", sorted);
    });
    const sorted = this.sorted();
    const shown = this.all ? sorted : sorted.slice(0, ROWS_FIRST);
    const rows = shown.map((member) => this.row(member));
    const body = byId("members-body");
    if (rows.length !== body.children.length || rows.some((row, index) => row !== body.children[index])) {
      body.replaceChildren(...rows);
    }
    const names = new Set(sorted.map((member) => member.name));
    for (const name of this.rows.keys()) if (!names.has(name)) this.rows.delete(name);
    show(this.button, sorted.length > ROWS_FIRST);
    setText(this.button, this.all ? "Show fewer" : `Show all ${sorted.length}`);
    setAttribute(this.button, "aria-expanded", this.all);
  }

  sorted() {
    const { by } = COLUMNS[this.sortedBy];
    const order = (a, b) => (typeof a === "string" ? byName(a, b) : a < b ? -1 : a > b ? 1 : 0);
    const sign = this.downwards ? -1 : 1;
    return [...this.told.members].sort((a, b) => sign * order(by(a), by(b)) || byName(a.name, b.name));
  }

  /** The row of a member, the same as before, as it should be now. */
  row(member) {
    let row = this.rows.get(member.name);
    if (row === undefined) {
      const name = element("span", { class: "member-name", text: member.name });
      const address = element("span", { class: "address", text: member.address });
      row = element("tr", {}, element("th", { scope: "row" }, name, address), ...[0, 1, 2].map(() => element("td")));
      row.children[3].className = "number";
      this.rows.set(member.name, row);
    }
    const [status, holds] = [statusOf(member), holdingOf(member)];
    const [name, ...cells] = row.children;
    setText(name.lastChild, member.name === this.told.me ? `${member.address} · this node` : member.address);
    if (row.dataset.looks !== `${status} ${holds}`) {
      row.dataset.looks = `${status} ${holds}`;
      cells[0].replaceChildren(
        icon(status, holds),
        element("span", { class: status, text: STATUSES[status]?.word ?? status }),
      );
      setText(cells[1], HOLDS[holds] || (member.ours ? "–" : "holds none"));
    }
    const far = member.name === this.told.me || member.rtt_s === null || holds === "none";
    setText(cells[2], far ? "–" : duration(member.rtt_s));
    return row;
  }
}

function summed({ totals, holding, count }) {
  if (count === 1) return "This node is the only member.";
  const alive = totals.alive - totals.suspect;
  const all = holding.yes + holding.no + holding.unknown;
  if (alive === count && all === count && holding.yes === all)
    return `All ${count} are alive and hold the current value.`;
  const parts = [
    `${alive === count ? `all ${count}` : alive} alive`,
    ...["suspect", "failed", "leaving", "left"]
      .filter((word) => totals[word] > 0)
      .map((word) => `${totals[word]} ${word}`),
  ];
  const agents = all < totals.alive + totals.leaving;
  const held =
    holding.yes === all
      ? `all ${agents ? `${counted(all, "OneValue node")} among them` : "that are alive"} hold the current value`
      : `${holding.yes} of ${all} hold the current value`;
  const text = `${parts.join(", ")}; ${held}.`;
  return text[0].toUpperCase() + text.slice(1);
}

function noted({ count, members, asked, asked_max }) {
  const notes = [];
  if (members.length < count)
    notes.push(`${counted(members.length, "member")} of ${count} are listed, those in trouble first.`);
  if (count > asked_max) {
    notes.push(
      `Clusters of more than ${asked_max} members are not asked who holds what: it is known as nodes happen to meet, ` +
        "which may take minutes.",
    );
  } else if (asked) notes.push("Who holds the value is asked after each change, and every 10 seconds.");
  if (members.some((member) => !member.ours)) notes.push("Members that hold none are Serf agents, or do not tell.");
  notes.push("Round trips are estimates from this node.");
  return count === 1 ? "" : notes.join(" ");
}
