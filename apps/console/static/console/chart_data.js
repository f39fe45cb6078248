// Data of the price chart, without a chart: candles by time, and fills as markers on them.
//
// Amounts arrive as text and stay text for whatever is read; numbers are made for drawing only.

/** A candle as the page's address /candles gives it: [seconds, open, high, low, close, volume], amounts as text. */
export const TIME = 0;

export const asBar = ([time, open, high, low, close]) => ({
  time,
  open: Number(open),
  high: Number(high),
  low: Number(low),
  close: Number(close),
});

/** Candles in the order of their time, each once: a later word on a candle replaces the earlier one. */
export class Candles {
  #rows = [];

  get rows() {
    return this.#rows;
  }

  get first() {
    return this.#rows[0];
  }

  get last() {
    return this.#rows.at(-1);
  }

  /** Takes a page of rows, oldest first. Returns "same", "end" (only what is newest changed) or "all". */
  merge(rows) {
    if (rows.length === 0) return "same";
    const newest = this.last?.[TIME] ?? Infinity;
    if (rows[0][TIME] >= newest) {
      if (rows.length === 1 && same(rows[0], this.last)) return "same";
      const kept = rows[0][TIME] === newest ? this.#rows.slice(0, -1) : this.#rows;
      this.#rows = kept.concat(rows);
      return "end";
    }
    const byTime = new Map(this.#rows.map((row) => [row[TIME], row]));
    for (const row of rows) byTime.set(row[TIME], row);
    this.#rows = [...byTime.values()].sort((one, other) => one[TIME] - other[TIME]);
    return "all";
  }

  at(time) {
    const index = this.#indexUpTo(time);
    return this.#rows[index]?.[TIME] === time ? this.#rows[index] : undefined;
  }

  /** The time of the candle that was forming at `seconds`; undefined before the first candle. */
  timeUpTo(seconds) {
    return this.#rows[this.#indexUpTo(seconds)]?.[TIME];
  }

  #indexUpTo(seconds) {
    let low = 0;
    let high = this.#rows.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#rows[middle][TIME] <= seconds) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}

const same = (one, other) => one.every((part, index) => part === other?.[index]);

/**
 * Markers of fills: one for each candle and side, with the number of fills where there are several.
 * A fill is {id, time, side, price, volume}; those before the first candle are left out until it is loaded.
 */
export function markersOf(fills, candles, { buy, sell }) {
  const places = new Map();
  for (const fill of fills) {
    const time = candles.timeUpTo(fill.time);
    if (time === undefined) continue;
    const place = `${time} ${fill.side}`;
    const found = places.get(place);
    if (found) found.fills.push(fill);
    else places.set(place, { time, side: fill.side, fills: [fill] });
  }
  return [...places.values()]
    .sort((one, other) => one.time - other.time)
    .map(({ time, side, fills: several }) => ({
      id: several[0].id,
      time,
      position: side === "buy" ? "belowBar" : "aboveBar",
      shape: side === "buy" ? "arrowUp" : "arrowDown",
      color: side === "buy" ? buy : sell,
      text: several.length > 1 ? String(several.length) : "",
    }));
}

/** Fills, each once, whichever pages they came on. */
export class Fills {
  #byId = new Map();

  get all() {
    return [...this.#byId.values()];
  }

  get size() {
    return this.#byId.size;
  }

  /** Returns whether one of them is new. */
  add(fills) {
    const before = this.#byId.size;
    for (const fill of fills) this.#byId.set(fill.id, fill);
    return this.#byId.size > before;
  }

  get oldest() {
    return Math.min(...this.all.map((fill) => fill.time));
  }
}

/** Decimals of a price as the exchange writes it: "30000.10" has two. */
export const decimalsOf = (text) => (text.split(".")[1] ?? "").length;
