// Equity over time. Drawn by uPlot, which is loaded as a classic script.

import { moment, tick } from "./chart_time.js";
import { colour, onTheme } from "./colours.js";

const uPlot = window.uPlot;
const TWO_DAYS = 2 * 86_400;
// lightweight-charts' TickMarkType, which `tick` speaks
const [DAY, CLOCK] = [2, 3];

function draw(element) {
  const { zone, language, label, time, asset } = element.dataset;
  const points = JSON.parse(element.dataset.points);
  const axis = { stroke: colour("--text-2"), grid: { stroke: colour("--grid"), width: 1 }, ticks: { show: false } };
  const times = points.map(([seconds]) => seconds);
  const kind = times.at(-1) - times[0] > TWO_DAYS ? DAY : CLOCK;
  return new uPlot(
    {
      width: element.clientWidth,
      height: element.clientHeight - 30,
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), zone),
      cursor: { y: false },
      axes: [{ ...axis, values: (_, splits) => splits.map((seconds) => tick(seconds, kind, zone, language)) }, { ...axis, size: 72 }],
      series: [
        { label: time, value: (_, seconds) => (seconds === null ? "–" : moment(seconds, zone, language)) },
        {
          label,
          stroke: colour("--accent"),
          fill: colour("--accent-soft"),
          width: 1.5,
          points: { show: points.length < 3 },
          // What is read is the API's own text; the number is for drawing.
          value: (_, __, ___, at) => (at === null ? "–" : `${points[at][1]} ${asset}`),
        },
      ],
    },
    [times, points.map(([, equity]) => Number(equity))],
    element,
  );
}

const drawn = new Map();

function redraw(element) {
  drawn.get(element)?.destroy();
  drawn.set(element, draw(element));
  element.dataset.drawn = "true";
}

function drawAll() {
  for (const element of drawn.keys()) if (!element.isConnected) drawn.delete(element);
  for (const element of document.querySelectorAll("[data-equity-chart]:not([data-drawn])")) {
    redraw(element);
    new ResizeObserver(() => {
      drawn.get(element)?.setSize({ width: element.clientWidth, height: element.clientHeight - 30 });
    }).observe(element);
  }
}

drawAll();
document.addEventListener("console:panel", drawAll);
onTheme(() => [...drawn.keys()].forEach(redraw));
