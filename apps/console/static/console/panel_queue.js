// Which panels are to be fetched again: each at most once at a time and once in a while, however many events come.

export const PAUSE_MS = 1_000;

export class PanelQueue {
  #fetch;
  #now;
  #later;
  #states = new Map();

  /** `fetch` gets a panel and returns a promise. Clock and timer are given by tests. */
  constructor(fetch, { now = () => Date.now(), later = (act, ms) => setTimeout(act, ms) } = {}) {
    this.#fetch = fetch;
    this.#now = now;
    this.#later = later;
  }

  /** The panel is fetched now, or as soon as its pause is over; an event meanwhile brings one more fetch after it. */
  add(panel) {
    const state = this.#states.get(panel) ?? { isWaiting: false, isFetching: false, isWanted: false, since: -Infinity };
    this.#states.set(panel, state);
    if (state.isFetching) state.isWanted = true;
    else if (!state.isWaiting) this.#wait(panel, state);
  }

  #wait(panel, state) {
    state.isWaiting = true;
    const pause = Math.max(0, state.since + PAUSE_MS - this.#now());
    this.#later(() => this.#run(panel, state), pause);
  }

  async #run(panel, state) {
    Object.assign(state, { isWaiting: false, isFetching: true, isWanted: false, since: this.#now() });
    try {
      await this.#fetch(panel);
    } catch {
      // The next event brings the next attempt.
    }
    state.isFetching = false;
    if (state.isWanted) this.#wait(panel, state);
  }
}
