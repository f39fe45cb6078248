"use strict";
// Keeps the tables of the dashboard fresh, and draws its plots. Without it the page is what the server made of it.
(function () {
  const configuration = JSON.parse(document.getElementById("dashboard-configuration").textContent);
  const COLOURS = ["#2563eb", "#dc2626", "#059669", "#d97706", "#7c3aed", "#0891b2", "#db2777", "#65a30d"];
  const HISTORY_SECONDS = 60;
  const DAY_SECONDS = 86_400;
  const drawn = new Map();
  const hours = document.getElementById("hours");
  const state = document.getElementById("refresh-state");

  async function load(url) {
    const answer = await fetch(url, { credentials: "same-origin", headers: { Accept: "application/json" } });
    if (answer.redirected || !(answer.headers.get("Content-Type") || "").startsWith("application/json")) {
      throw new Error("You are not logged in any more: load the page again.");
    }
    if (!answer.ok) throw new Error(`The staff site answered ${answer.status}.`);
    return answer.json();
  }

  function cell(text) {
    const made = document.createElement("td");
    made.textContent = text;
    return made;
  }

  function show(panel) {
    const section = document.getElementById(`panel-${panel.id}`);
    if (!section) return;
    section.dataset.state = panel.state;
    section.querySelector(".ops-state").textContent = panel.state;
    section.querySelector(".ops-detail").textContent = panel.detail;
    const rows = panel.rows.map((row) => {
      const made = document.createElement("tr");
      made.append(...row.map(cell));
      return made;
    });
    if (rows.length) section.querySelector("tbody").replaceChildren(...rows);
  }

  // ISO 8601 in UTC. Steps of days are labelled by the date, shorter ones by the time.
  const utc = (seconds) => new Date(seconds * 1000).toISOString();
  const moment = (seconds) => utc(seconds).slice(0, 16).replace("T", " ");
  const tick = (seconds, step) => (step < DAY_SECONDS ? utc(seconds).slice(11, 16) : utc(seconds).slice(5, 10));

  function draw(plot) {
    const place = document.getElementById(`plot-${plot.id}`);
    if (!place) return;
    const before = drawn.get(plot.id);
    if (before) before.destroy();
    drawn.delete(plot.id);
    place.replaceChildren();
    if (!plot.times.length) return;
    const colour = getComputedStyle(place).color;
    const axis = { stroke: colour, grid: { stroke: "rgba(128,128,128,.2)" }, ticks: { stroke: "rgba(128,128,128,.4)" } };
    const options = {
      title: plot.title,
      width: Math.max(200, place.clientWidth),
      height: 180,
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      axes: [
        { ...axis, values: (_, splits, __, ___, step) => splits.map((seconds) => tick(seconds, step)) },
        { ...axis, size: 64 },
      ],
      scales: { y: { range: (_, least, most) => [Math.min(0, least || 0), Math.max(1, most || 0)] } },
      series: [
        { label: "UTC", value: (_, seconds) => (seconds === null ? "–" : moment(seconds)) },
        ...plot.lines.map((line, index) => ({
          label: line.label,
          stroke: COLOURS[index % COLOURS.length],
          points: { show: plot.times.length < 3 || Boolean(plot.is_daily) },
        })),
      ],
    };
    drawn.set(plot.id, new uPlot(options, [plot.times, ...plot.lines.map((line) => line.values)], place));
  }

  async function refresh() {
    const loaded = await load(configuration.figures);
    loaded.panels.forEach(show);
    const time = document.getElementById("as-of");
    time.dateTime = loaded.as_of;
    time.textContent = loaded.as_of.slice(0, 19).replace("T", " ");
  }

  async function history() {
    const loaded = await load(`${configuration.history}?hours=${encodeURIComponent(hours.value)}`);
    loaded.plots.forEach(draw);
  }

  // One request at a time; none while nobody looks.
  function repeat(run, seconds) {
    let isRunning = false;
    async function once() {
      if (isRunning || document.hidden) return;
      isRunning = true;
      try {
        await run();
        state.textContent = "";
      } catch (error) {
        state.textContent = `Not refreshed: ${error.message}`;
      } finally {
        isRunning = false;
      }
    }
    setInterval(once, seconds * 1000);
    document.addEventListener("visibilitychange", once);
    return once;
  }

  repeat(refresh, configuration.seconds);
  const redraw = repeat(history, HISTORY_SECONDS);
  document.getElementById("span-choice").hidden = false;
  hours.addEventListener("change", redraw);
  let resized = 0;
  addEventListener("resize", () => {
    clearTimeout(resized);
    resized = setTimeout(redraw, 300);
  });
  redraw();
})();
