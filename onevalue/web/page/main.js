// Puts the page together: one stream in, one model, and the views, each shown anew when what it shows has changed, at
// most once for each picture on the screen. It must not know how anything is shown.

import { Announcer } from "./announcer.js";
import { ChangesView } from "./changesview.js";
import { Editor } from "./editor.js";
import { EventsView } from "./eventsview.js";
import { Gate } from "./gate.js";
import { MembersView } from "./membersview.js";
import { Model } from "./model.js";
import { NodeView } from "./nodeview.js";
import { Stream } from "./stream.js";
import { Token } from "./token.js";
import { ValueView } from "./valueview.js";

const EVERYTHING = ["connection", "node", "state", "members", "changes", "events"];
const token = new Token();
const model = new Model((what) => changed(what));
const stream = new Stream("/v1/live", token, {
  event: (name, object) => model.told(name, object),
  state: (word, detail) => model.connected(word, detail),
});
const editor = new Editor(model, token);
const views = [
  new NodeView(),
  new Gate(token, stream),
  new ValueView(() => editor.open()),
  new MembersView(),
  new ChangesView(),
  new EventsView(),
  editor,
  new Announcer(),
];
const stale = new Set(EVERYTHING);
let frame = null;

function changed(what) {
  stale.add(what);
  if (document.hidden)
    render(); // the title tells, and no picture is made
  else frame ??= requestAnimationFrame(render);
}

function render() {
  frame = null;
  const parts = new Set(stale);
  stale.clear();
  for (const view of views) view.render(model, parts);
}

setInterval(() => changed("clock"), 1000);
document.addEventListener("visibilitychange", () => changed("clock"));
render();
stream.start();
