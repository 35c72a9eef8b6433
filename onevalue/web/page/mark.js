// The mark of a member: its shape tells the status, its filling whether it holds the current value. Colour only repeats
// what shape and words say. It must not know where marks stand.

import { shape } from "./dom.js";

/** How bad a status is, for sorting; the words for people. */
export const STATUSES = {
  failed: { rank: 0, word: "failed" },
  suspect: { rank: 1, word: "suspect" },
  leaving: { rank: 2, word: "leaving" },
  alive: { rank: 3, word: "alive" },
  left: { rank: 4, word: "left" },
};

export const HOLDS = { yes: "holds it", no: "not yet", unknown: "not known", none: "" };

/** The status of a member as the node told it; suspicion is one here. */
export function statusOf(member) {
  return member.suspect && member.status === "alive" ? "suspect" : member.status;
}

/** Whether a member holds the current value, a word of HOLDS. */
export function holdingOf(member) {
  if (member.status === "failed" || member.status === "left" || !member.ours) return "none";
  return member.holds === null ? "unknown" : member.holds ? "yes" : "no";
}

/** The mark, around 0,0, some 20 wide. */
export function mark(status, holds) {
  const body = { class: "body" };
  const bodies = {
    alive: () => shape("circle", { ...body, r: 9 }),
    suspect: () => shape("path", { ...body, d: "M0-11.5 11.5 0 0 11.5-11.5 0Z" }),
    leaving: () => shape("rect", { ...body, x: -8, y: -8, width: 16, height: 16, rx: 2 }),
    left: () => shape("rect", { ...body, x: -5, y: -5, width: 10, height: 10, rx: 1 }),
    neutral: () => shape("circle", { ...body, r: 2.5 }),
    failed: () => shape("path", { ...body, d: "M-8-8 8 8M8-8-8 8" }),
  };
  return shape("g", { class: `mark ${status} holds-${holds}` }, (bodies[status] ?? bodies.neutral)());
}

/** The mark as a small picture within text. */
export function icon(status, holds) {
  return shape("svg", { class: "icon", viewBox: "-13 -13 26 26", "aria-hidden": "true" }, mark(status, holds));
}
