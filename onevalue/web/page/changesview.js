// The changes that the node saw: how often, how fast each spread, and the same as a table for who sees no chart.
// It must not know how charts are drawn.

import { Chart, bars, points } from "./charts.js";
import { byId, element, setAttribute, setText, show } from "./dom.js";
import { ago, begun, clock, counted, duration, median } from "./format.js";

const BINS = 48;
const WINDOW_MIN_S = 600;
const BIN_WIDTHS_S = [15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400, 604800];
const SPREAD_MIN_S = 0.001; // less is within the error, and not to be seen on a logarithmic scale
const SOURCES = {
  set: "written here",
  event: "gossip",
  notify: "push over HTTP",
  "anti-entropy": "an exchange",
  join: "joining",
};

export class ChangesView {
  constructor() {
    this.window = [0, 1];
    const range = () => this.window;
    this.rate = new Chart(byId("rate-chart"), bars(range));
    this.spread = new Chart(
      byId("spread-chart"),
      points(range, (at) => (at < 1 ? `${Math.round(at * 1000)} ms` : `${at} s`)),
    );
    this.rows = new Map();
    this.drawnAt = 0;
  }

  render(model, parts) {
    const { changes, node } = model;
    if (changes === null || node === null) return;
    const list = changes.changes;
    const now = model.now;
    if (list.length > 0) this.summary(list, changes.changes_max, now);
    else setText(byId("changes-summary"), "This node has seen none since it started.");
    if (parts.has("changes")) {
      for (const id of ["charts", "changes-details", "spread-note"]) show(byId(id), list.length > 0);
      this.table(list, now);
    }
    const late = now - this.drawnAt >= 5; // the time axis moves on
    if (list.length > 0 && (parts.has("changes") || late) && !document.hidden) this.draw(list, now);
  }

  summary(list, max, now) {
    const last = list[list.length - 1];
    const kept = list.length === max ? `The last ${max} changes` : counted(list.length, "change");
    setText(
      byId("changes-summary"),
      `${kept} seen by this node, the newest ${ago(Math.max(0, now - last.arrived))}.`,
    );
  }

  draw(list, now) {
    this.drawnAt = now;
    const begin = Math.min(list[0].arrived, now - WINDOW_MIN_S);
    const width = BIN_WIDTHS_S.find((each) => (now - begin) / each <= BINS) ?? BIN_WIDTHS_S.at(-1);
    const first = Math.floor(begin / width) * width;
    const times = [];
    for (let at = first; at <= now; at += width) times.push(at + width / 2);
    const counts = times.map(() => 0);
    for (const { arrived } of list) counts[Math.min(times.length - 1, Math.floor((arrived - first) / width))] += 1;
    this.window = [first, Math.max(now, times.at(-1) + width / 2)];
    this.rate.show([times, counts]);
    this.describeRate(counts, width, now - begin);
    this.drawSpread(list);
  }

  describeRate(counts, width, span) {
    const most = Math.max(...counts);
    const text = `Changes in each ${duration(width)} of the last ${duration(span)}; at most ${most}.`;
    setText(byId("rate-summary"), text);
    setAttribute(byId("rate-chart"), "aria-label", `Chart: ${text}`);
  }

  drawSpread(list) {
    const known = list
      .filter((change) => change.spread_s !== null)
      .map((change) => Math.max(SPREAD_MIN_S, change.spread_s));
    const spread = list.map((change) => (change.spread_s === null ? null : Math.max(SPREAD_MIN_S, change.spread_s)));
    this.spread.show([list.map((change) => change.arrived), spread]);
    const text =
      known.length === 0
        ? "None measured yet: it is measured while a page is open."
        : `${duration(median(known))} as a rule, ${duration(Math.max(...known))} at worst, ` +
          `of ${counted(known.length, "change")}.`;
    setText(byId("spread-summary"), text);
    setAttribute(byId("spread-chart"), "aria-label", `Chart: ${text}`);
  }

  table(list, now) {
    const kept = new Map();
    for (const change of list) {
      const key = `${change.tag} ${change.arrived}`;
      kept.set(key, this.rows.get(key) ?? row(change, now));
      setText(kept.get(key).lastChild, spreading(change));
    }
    this.rows = kept;
    byId("changes-body").replaceChildren(...[...kept.values()].reverse());
    setText(
      byId("changes-open"),
      list.length === 1 ? "The change as a table" : `The ${list.length} changes as a table`,
    );
  }
}

function row(change, now) {
  return element(
    "tr",
    {},
    element("th", { scope: "row", class: "number", text: change.tag.split("-")[0] }),
    element("td", {}, element("span", { class: "code clipped", text: begun(change.start, change.size) })),
    element("td", { text: change.origin || "not known" }),
    element("td", { class: "time", text: clock(change.arrived, now) }),
    element("td", { text: SOURCES[change.source] ?? change.source }),
    element("td", { class: "number" }),
  );
}

function spreading({ spread_s, measured }) {
  if (spread_s !== null) return spread_s < SPREAD_MIN_S ? "under 1 ms" : duration(spread_s);
  return measured ? "not yet known" : "not measured";
}
