// Live updates: the page's panels are fetched again when an event of the stream concerns them.
//
// Without this module, or without the stream, the pages are as they were when they were loaded.

import { askWhy, setConnection } from "./console.js";
import { PanelQueue } from "./panel_queue.js";

// The stream says something at least every 15 s; three times that is silence.
const SILENT_MS = 45_000;
// While there is no stream, panels are fetched again by the clock.
const POLL_MS = 15_000;
const RETRY_MS = [1_000, 2_000, 5_000, 10_000, 30_000];
const KINDS = ["status", "order", "trade", "alert", "receipt"];

class Link {
  #source = null;
  #failures = 0;
  #wasOpen = false;
  #silence = 0;
  #queue = new PanelQueue(fetchPanel);

  constructor(address) {
    this.address = address;
  }

  open() {
    this.#source = new EventSource(this.address);
    this.#source.addEventListener("open", () => this.#opened());
    this.#source.addEventListener("error", () => this.#failed());
    for (const kind of KINDS) this.#source.addEventListener(kind, (event) => this.#take(kind, event));
    for (const kind of ["ping", "ready"]) this.#source.addEventListener(kind, () => this.#heard());
    this.#source.addEventListener("reset", () => this.#fetchAll());
  }

  /** Fetches every panel where the stream does not say which. */
  poll() {
    if (document.hidden || this.#source.readyState === EventSource.OPEN) return;
    if (document.documentElement.dataset.connection === "logged-out") return;
    for (const panel of panels()) this.#queue.add(panel);
  }

  #opened() {
    this.#failures = 0;
    // What happened while there was no stream, since the page was made or since it broke, is on the server.
    this.#fetchAll();
    this.#wasOpen = true;
  }

  /** Every panel once, and the chart's fills: the stream does not say what was missed. */
  #fetchAll() {
    this.#heard();
    document.dispatchEvent(new CustomEvent("console:trade", { detail: {} }));
    for (const panel of panels()) this.#queue.add(panel);
  }

  #take(kind, event) {
    this.#heard();
    const bot = botOf(event.data);
    document.dispatchEvent(new CustomEvent(`console:${kind}`, { detail: { bot } }));
    for (const panel of panels()) {
      const { refreshOn = "", bot: own } = panel.dataset;
      if (refreshOn.split(" ").includes(kind) && (!own || !bot || own === bot)) this.#queue.add(panel);
    }
  }

  #heard() {
    setConnection("live");
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => setConnection("stale"), SILENT_MS);
  }

  async #failed() {
    clearTimeout(this.#silence);
    // Otherwise the browser connects again by itself, and says which event it saw last.
    const isRefused = this.#source.readyState === EventSource.CLOSED;
    await askWhy();
    const { connection } = document.documentElement.dataset;
    if (connection === "live" && this.#wasOpen) setConnection("unavailable");
    if (!isRefused || connection === "logged-out") return;
    const wait = RETRY_MS[Math.min(this.#failures++, RETRY_MS.length - 1)];
    setTimeout(() => this.open(), wait);
  }
}

const panels = () => document.querySelectorAll("[data-panel][data-address]");

function botOf(text) {
  try {
    return JSON.parse(text).bot_id;
  } catch {
    return undefined;
  }
}

/** Puts the panel's newest state into the page, unless somebody is typing in it. */
async function fetchPanel(panel) {
  const focused = panel.contains(document.activeElement) ? document.activeElement : null;
  if (focused?.matches("input:not([type=hidden]), select, textarea")) return;
  const answer = await fetch(panel.dataset.address, { headers: { "HX-Request": "true" } });
  panel.classList.toggle("stale", answer.status !== 200);
  if (answer.status === 401) setConnection("logged-out");
  if (answer.status !== 200) return;
  const place = focused && placeOf(panel, focused);
  panel.innerHTML = await answer.text();
  if (place) [...panel.querySelectorAll(place.kind)][place.index]?.focus();
  document.dispatchEvent(new CustomEvent("console:panel", { detail: { panel } }));
}

/** Where the focus is, so that it stays there: the keyboard is not thrown out of a panel that is fetched again. */
function placeOf(panel, focused) {
  const kind = focused.localName;
  return { kind, index: [...panel.querySelectorAll(kind)].indexOf(focused) };
}

if (document.querySelector("[data-panel]")) {
  const link = new Link("/app/stream");
  link.open();
  setInterval(() => link.poll(), POLL_MS);
}
