// Keeps a stream of events from this node open: reads it with fetch, since an EventSource sends no token; notices when
// nothing comes any more; connects again by itself; rests while nobody can see the page. It must not know what the
// events mean, nor how a page shows them.

import { pauseMs } from "./backoff.js";
import { detailOf, strange } from "./refusals.js";
import { EventReader } from "./sse.js";

export const SILENCE_MAX_MS = 12_000; // the node tells something every 3 s
export const HIDDEN_MAX_MS = 60_000; // a browser has six connections to a host, for all its tabs

/**
 * One stream, from `start` on for ever; closed while the tab has been hidden for `hiddenMaxMs`, until it is shown.
 *
 * `on.event(name, object)` hears each event. `on.state(word, detail)` hears "connecting" (also when it rests: it will,
 * as soon as it is shown), "live", "lost" (detail: why, for people) and "denied" (detail: what the node said; then it
 * waits for `retryNow`).
 */
export class Stream {
  constructor(url, token, on, hiddenMaxMs = HIDDEN_MAX_MS) {
    this.url = url;
    this.token = token;
    this.on = on;
    this.hiddenMaxMs = hiddenMaxMs;
    this.failures = 0;
    this.heardAt = null; // performance.now() of the last byte
    this.abort = null; // of the last try; null: it waits for a token, or rests
    this.timer = null;
    this.watchdog = null;
    this.hiding = null; // the timer after which it rests
    this.resting = false;
  }

  start() {
    document.addEventListener("visibilitychange", () => this.turned());
    window.addEventListener("online", () => this.hurry());
    window.addEventListener("offline", () => this.abort?.abort("this computer is offline"));
    this.connect();
    this.turned(); // a tab may be opened behind another
  }

  /** The tab has been hidden, or shown. */
  turned() {
    clearTimeout(this.hiding);
    if (document.hidden) this.hiding = setTimeout(() => this.rest(), this.hiddenMaxMs);
    else if (this.resting) this.connect();
    else this.hurry();
  }

  /** Nothing is open, and nothing is tried, until the tab is shown. Nothing was lost, and nothing has failed. */
  rest() {
    if (this.abort === null) return;
    const { abort } = this;
    this.abort = null; // first, so that its end is no loss
    abort.abort("nobody sees the page");
    clearTimeout(this.timer);
    this.timer = null;
    this.resting = true;
    this.stop("connecting");
  }

  /** Whoever waits for the next try tries now; one that is live but silent is looked at. */
  hurry() {
    if (this.timer !== null) this.retryNow();
    else if (this.heardAt !== null) this.watch();
  }

  retryNow() {
    clearTimeout(this.timer);
    this.timer = null;
    this.abort?.abort("another try");
    this.connect();
  }

  async connect() {
    const abort = (this.abort = new AbortController());
    this.resting = false;
    this.heardAt = null;
    this.on.state("connecting");
    this.arm(SILENCE_MAX_MS);
    let why = "the node ended the stream";
    let wait = null;
    try {
      const answer = await fetch(this.url, {
        headers: this.token.headers(),
        signal: abort.signal,
        cache: "no-store",
      });
      if (!answer.ok) {
        const detail = await detailOf(answer);
        if (detail !== null && (answer.status === 401 || answer.status === 403)) {
          if (abort !== this.abort) return;
          this.abort = null;
          this.stop("denied", detail);
          return;
        }
        wait = Number(answer.headers.get("Retry-After")) * 1000 || null;
        throw new Error(detail ?? strange(answer));
      }
      if (!answer.headers.get("Content-Type")?.startsWith("text/event-stream")) throw new Error(strange(answer));
      await this.readAll(answer.body, abort);
    } catch (error) {
      if (abort.signal.aborted) why = String(abort.signal.reason);
      // What fetch itself says is for programs.
      else why = error instanceof TypeError ? "the node does not answer" : error.message;
    }
    if (abort !== this.abort) return; // another try has taken over
    this.failures += 1;
    this.stop("lost", why);
    const pause = Math.max(wait ?? 0, pauseMs(this.failures, Math.random()));
    this.timer = setTimeout(() => this.retryNow(), pause);
  }

  async readAll(body, abort) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    const events = new EventReader(({ name, data }) => this.on.event(name, JSON.parse(data)));
    for (;;) {
      const { done, value } = await reader.read();
      if (done || abort !== this.abort) return;
      if (this.heardAt === null) this.on.state("live");
      this.heardAt = performance.now();
      this.failures = 0;
      this.arm(SILENCE_MAX_MS);
      events.read(value);
    }
  }

  stop(word, detail) {
    clearTimeout(this.watchdog);
    this.heardAt = null;
    this.on.state(word, detail);
  }

  arm(ms) {
    clearTimeout(this.watchdog);
    this.watchdog = setTimeout(() => this.watch(), ms);
  }

  /** A stream that has been silent for too long is given up. A tab that slept may find out only now. */
  watch() {
    const silent = this.heardAt === null ? SILENCE_MAX_MS : performance.now() - this.heardAt;
    if (silent >= SILENCE_MAX_MS - 1) this.abort?.abort("nothing was heard from the node");
    else this.arm(SILENCE_MAX_MS - silent);
  }
}
