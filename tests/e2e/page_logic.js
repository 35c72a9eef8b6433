// What the modules of the live page do without a page: run in the browser by test_page.py. Returns what is wrong.

const done = arguments[arguments.length - 1];
const wrong = [];

function same(found, expected, what) {
  const [a, b] = [JSON.stringify(found), JSON.stringify(expected)];
  if (a !== b) wrong.push(`${what}: ${a}, not ${b}`);
}

async function sse() {
  const { EventReader } = await import("/page/sse.js");
  const text = ": hello\r\nretry: 5\n\nevent: a\ndata: 1\ndata:2\n\nid: 7\n\ndata: x\r\revent: b\ndata:  y\n\ndata: cut";
  const expected = [{ name: "a", data: "1\n2" }, { name: "message", data: "x" }, { name: "b", data: " y" }];
  for (let size = 1; size <= text.length; size += 1) {
    const events = [];
    const reader = new EventReader((event) => events.push(event));
    for (let at = 0; at < text.length; at += size) reader.read(text.slice(at, at + size));
    same(events, expected, `events in pieces of ${size}`);
  }
}

async function backoff() {
  const { PAUSE_FIRST_MS, PAUSE_MAX_MS, pauseMs } = await import("/page/backoff.js");
  same([pauseMs(1, 0), pauseMs(1, 1), pauseMs(2, 1)], [PAUSE_FIRST_MS / 2, PAUSE_FIRST_MS, 2 * PAUSE_FIRST_MS], "pauses");
  same([pauseMs(9, 1), pauseMs(9999, 1), pauseMs(9999, 0)], [PAUSE_MAX_MS, PAUSE_MAX_MS, PAUSE_MAX_MS / 2], "long ones");
}

async function json() {
  const { faultOf, firstMember, indented, kindOf } = await import("/page/jsontext.js");
  same(indented('{"a":9007199254740993,"b":[],"c":{"d":"x, {\\"y\\": 1}"}}'),
    '{\n  "a": 9007199254740993,\n  "b": [],\n  "c": {\n    "d": "x, {\\"y\\": 1}"\n  }\n}', "indented");
  same(indented("-1.5e+300"), "-1.5e+300", "a number alone");
  same(firstMember('{"value": {"a": [1, {"b": 9007199254740993}]}, "generation": 3}'),
    '{"a":[1,{"b":9007199254740993}]}', "the first member");
  same(firstMember('{"value": "a, b}", "x": 1}'), '"a, b}"', "a text that looks like JSON");
  same(['"x"', "{}", "[]", "true", "null", "-7"].map(kindOf),
    ["text", "object", "list", "true or false", "null", "number"], "kinds");
  same([faultOf("7"), faultOf(' {"a": 1} ')], [null, null], "no fault");
  for (const text of ["", " ", "on", "{'a': 1}", "07", "[1,]"]) same(typeof faultOf(text), "string", `the fault of ${text}`);
}

async function words() {
  const { ago, begun, clock, counted, duration, median, size } = await import("/page/format.js");
  same([0.0002, 0.0412, 0.9999, 1.24, 12.4, 130, 7200, 400000].map(duration),
    ["0.2 ms", "41 ms", "1.0 s", "1.2 s", "12 s", "2 min", "2 h", "5 days"], "durations");
  same([0, 4.9, 12, 61, 3599, 3600, 90000, 200000].map(ago),
    ["just now", "just now", "10 seconds ago", "1 minute ago", "59 minutes ago", "1 hour ago", "1 day ago", "2 days ago"],
    "how long ago");
  same([counted(1, "byte"), counted(2, "byte"), size(2048)], ["1 byte", "2 bytes", "2.0 KiB"], "counts");
  same([begun('"é"', 4), begun('"éé', 9)], ['"é"', '"éé…'], "the start of a text");
  same([median([]), median([3, 1, 2])], [null, 2], "the middle");
  same(/^\d\d:\d\d:\d\d$/.test(clock(1e9, 1e9)), true, "the time of today");
  same(clock(1e9, 2e9).length > 12, true, "the time of another day");
}

async function refusals() {
  const { detailOf, strange } = await import("/page/refusals.js");
  const told = async (body) => detailOf(new Response(body, { status: 503 }));
  same([await told('{"detail": "it stops"}'), await told("<html>"), await told("null"), await told('{"detail": 7}')],
    ["it stops", null, null, null], "what the node says");
  same([strange({ status: 502 }), strange({ status: 200 })],
    ["something that is no node answers, with HTTP status 502, bad gateway",
      "something that is no node answers, with HTTP status 200"], "what is no node");
}

async function streams() {
  const { Stream } = await import("/page/stream.js");
  const answers = [["<html>", 502], ["<html>", 403], ["<html>", 200], ['{"detail": "it stops"}', 503], ['{"detail": "who?"}', 401]];
  const states = [];
  const real = window.fetch;
  for (const [body, status] of answers) {
    window.fetch = async () => new Response(body, { status, headers: { "Content-Type": "text/html" } });
    const told = [];
    const one = new Stream("/v1/live", { headers: () => ({}) }, { event: () => {}, state: (...each) => told.push(each) });
    await one.connect();
    clearTimeout(one.timer);
    states.push(told.at(-1));
  }
  window.fetch = real;
  const other = "something that is no node answers, with HTTP status";
  same(states, [["lost", `${other} 502, bad gateway`], ["lost", `${other} 403, forbidden`], ["lost", `${other} 200`],
    ["lost", "it stops"], ["denied", "who?"]], "what a stream says of answers");
}

async function resting() {
  const { Stream } = await import("/page/stream.js");
  const told = [];
  let heard = () => {};
  const comes = (word) => new Promise((resolve) => { heard = (each) => each === word && resolve(); });
  const on = { event: () => {}, state: (word) => { told.push(word); heard(word); } };
  const turn = (hidden) => {
    Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  };
  const one = new Stream("/v1/live", { headers: () => ({}) }, on, 50);
  let live = comes("live");
  one.start();
  await live;
  const rests = comes("connecting");
  turn(true);
  await rests;
  same([one.abort, one.timer, one.resting], [null, null, true], "who rests has nothing open, and tries nothing");
  live = comes("live");
  turn(false);
  await live;
  same([told, one.failures], [["connecting", "live", "connecting", "connecting", "live"], 0], "a tab that was hidden");
  turn(true); // it tries nothing any more
}

async function connections() {
  const { Model } = await import("/page/model.js");
  const model = new Model(() => {});
  const lost = (...words) => words.map((word) => { model.connected(word); return model.connection.lostAt !== null; });
  same(lost("lost", "connecting", "live", "lost", "connecting", "live"), [false, false, false, true, true, false],
    "who was live is lost until it is again");
  same(lost("connecting", "connecting", "lost"), [false, false, true], "who rested is lost when it cannot connect");
}

async function events() {
  const { EventsView } = await import("/page/eventsview.js");
  const view = new EventsView();
  const shown = (text) => {
    const told = { events: [{ seq: 1, kind: "joined", text, time: 1e9, times: 1 }] };
    view.render({ events: told, now: 1e9 }, new Set(["events"]));
    return document.querySelector("#events span").textContent;
  };
  same([shown("before"), shown("after")], ["before", "after"], "events of a node that counts from 1 again");
}

Promise.all([sse(), backoff(), json(), words(), refusals(), streams(), connections(), events()]).then(resting).then(() => done(wrong), (error) => done([String(error)]));
