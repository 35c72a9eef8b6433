// This node: its name, the badge of the connection, what is wrong, and its facts. It must not know the value.

import { byId, element, setText } from "./dom.js";
import { counted, duration } from "./format.js";

const BADGES = { connecting: "Connecting", live: "Live", lost: "Disconnected", denied: "No token" };
const TITLE_VALUE_MAX = 24;

export class NodeView {
  render(model) {
    const { word } = model.connection;
    document.body.dataset.connection = model.connection.lostAt !== null && word === "connecting" ? "lost" : word;
    setText(byId("badge-text"), BADGES[document.body.dataset.connection]);
    document.title = titleOf(model);
    this.notices(model);
    if (model.node === null) return;
    setText(byId("node-name"), model.node.name);
    this.facts(model);
  }

  /** What is wrong, the worst first; each stays the same element while it lasts, so that it is read out once. */
  notices(model) {
    this.loaded ??= model.node?.version ?? null; // the version that these modules came with
    const wanted = noticesOf(model, this.loaded);
    const place = byId("notices");
    const there = new Map([...place.children].map((notice) => [notice.dataset.kind, notice]));
    const notices = wanted.map(([kind, head, text]) => {
      const notice =
        there.get(kind) ??
        element("div", { class: `notice ${kind}`, "data-kind": kind }, element("strong"), " ", element("span"));
      setText(notice.firstChild, head);
      setText(notice.lastChild, text);
      return notice;
    });
    if (
      notices.length !== place.children.length ||
      notices.some((notice, index) => notice !== place.children[index])
    ) {
      place.replaceChildren(...notices);
    }
  }

  facts({ node }) {
    const facts = [
      ["Version", node.version],
      ["Running for", duration(node.uptime_s)],
      ["Takes writes", node.ready ? "yes" : "no"],
      ["Heard another", node.last_contact_s === null ? "never" : `${duration(node.last_contact_s)} ago`],
      ["Own health", health(node.health_score)],
      ["On its disk", kept(node.journal)],
      ...(node.exposure.length > 0
        ? [["Open", node.exposure.map((sentence) => `${capital(sentence)}.`).join(" ")]]
        : []),
    ];
    const place = byId("node-facts");
    if (place.children.length !== facts.length) {
      place.replaceChildren(
        ...facts.map(([name]) => element("div", {}, element("dt", { text: name }), element("dd"))),
      );
    }
    facts.forEach(([name, text], index) => {
      setText(place.children[index].firstChild, name);
      setText(place.children[index].lastChild, text);
    });
  }
}

function health(score) {
  if (score === null) return "not known";
  return score === 0 ? "good" : `slow: ${score} of 8, where 0 is best`;
}

function kept({ kind, durable, trouble }) {
  if (kind === "none") return "nothing is kept (--no-journal)";
  if (trouble !== null) return "not now";
  return durable ? "the current value" : "not yet the current value";
}

function titleOf({ connection, node, state }) {
  const name = node?.name ?? "OneValue";
  if (connection.word !== "live") return connection.lostAt === null ? name : `Disconnected · ${name}`;
  const text = state?.text ?? "";
  const value = text.length > TITLE_VALUE_MAX ? `${text.slice(0, TITLE_VALUE_MAX)}…` : text;
  return value === "" ? name : `${value} · ${name}`;
}

function noticesOf({ connection, node }, loaded) {
  const notices = [];
  if (connection.lostAt !== null && connection.word !== "denied") {
    const since = counted(Math.max(1, Math.round((performance.now() - connection.lostAt) / 1000)), "second");
    const why = connection.detail === "" ? "" : ` (${connection.detail})`;
    notices.push(["lost", "Disconnected.", `All below is as it was ${since} ago${why}. Trying to connect again.`]);
  } else if (connection.word === "lost" || (connection.word === "connecting" && connection.detail !== "")) {
    notices.push(["lost", "Not connected.", `${connection.detail}. Trying again.`]);
  }
  if (node === null) return notices;
  if (node.version !== loaded)
    notices.push(["old", "This page is old.", `The node runs ${node.version} now: load the page again.`]);
  if (node.isolated !== null) notices.push(["isolated", "Isolated.", `${node.isolated} The value may be old.`]);
  if (node.engine_trouble !== null) notices.push(["engine", "No word of the members.", node.engine_trouble]);
  if (node.journal.trouble !== null) {
    notices.push([
      "disk",
      "The disk does not take writes.",
      `This node goes on answering and learning, and says: ${node.journal.trouble}.`,
    ]);
  }
  if (node.learning)
    notices.push([
      "learning",
      "Learning.",
      "This node asks the others what they hold; until it knows it takes no writes.",
    ]);
  else if (node.not_ready !== null) notices.push(["learning", "Not ready.", `${capital(node.not_ready)}.`]);
  return notices;
}

function capital(text) {
  return text[0].toUpperCase() + text.slice(1);
}
