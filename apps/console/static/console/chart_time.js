// Times on charts, in the trader's zone and language.

const cache = new Map();

function format(zone, language, options) {
  const key = JSON.stringify([zone, language, options]);
  if (!cache.has(key)) cache.set(key, new Intl.DateTimeFormat(language, { timeZone: zone, ...options }));
  return cache.get(key);
}

const DAY = { day: "numeric", month: "short" };
const CLOCK = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };

/** The label of a tick: the coarser the grid, the coarser the label. `kind` is lightweight-charts' TickMarkType. */
export function tick(seconds, kind, zone, language) {
  const options = [{ year: "numeric" }, { month: "short" }, DAY, CLOCK, { ...CLOCK, second: "2-digit" }][kind] ?? CLOCK;
  return format(zone, language, options).format(seconds * 1000);
}

/** A moment in full, with its zone. */
export function moment(seconds, zone, language) {
  const options = { ...DAY, year: "numeric", ...CLOCK, timeZoneName: "short" };
  return format(zone, language, options).format(seconds * 1000);
}
