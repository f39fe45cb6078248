// The price chart of a bot: candles, its fills as markers, its open orders and average price as lines.
//
// Everything comes from the page's own host: candles and fills by page, lines from the panels beside the chart.

import {
  CandlestickSeries,
  CrosshairMode,
  LineStyle,
  createChart,
  createSeriesMarkers,
} from "../vendor/lightweight-charts/lightweight-charts.standalone.production.mjs";
import { Candles, Fills, TIME, asBar, decimalsOf, markersOf } from "./chart_data.js";
import { moment, tick } from "./chart_time.js";
import { colour, onTheme } from "./colours.js";

const POLL_MS = 2000;
const NEAR_THE_BEGINNING = 40;
const MOST_FILLS = 2000;


class PriceChart {
  #element;
  #chart;
  #series;
  #markers;
  #candles = new Candles();
  #fills = new Fills();
  #lines = [];
  #isLoading = false;
  #hasAll = false;
  #fillsCursor = "";
  #hasAllFills = false;
  #focus;

  constructor(element) {
    this.#element = element;
    const { zone, language } = this.#told;
    this.#chart = createChart(element.querySelector("[data-canvas]"), {
      autoSize: true,
      layout: { attributionLogo: false, fontFamily: getComputedStyle(element).fontFamily, fontSize: 11 },
      crosshair: { mode: CrosshairMode.Normal },
      localization: { locale: language, timeFormatter: (seconds) => moment(seconds, zone, language) },
      timeScale: {
        timeVisible: true,
        rightOffset: 4,
        tickMarkFormatter: (seconds, kind) => tick(seconds, kind, zone, language),
      },
    });
    this.#series = this.#chart.addSeries(CandlestickSeries, { borderVisible: false, priceLineVisible: false });
    this.#markers = createSeriesMarkers(this.#series, []);
    this.#paint();
    this.#chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
      if (range && range.from < NEAR_THE_BEGINNING) this.#loadOlder();
    });
    this.#chart.subscribeCrosshairMove(({ time }) => this.#tell(time));
    element.addEventListener("keydown", (event) => this.#steer(event));
    onTheme(() => this.#paint());
  }

  get #told() {
    return this.#element.dataset;
  }

  async begin() {
    await this.#loadNewest();
    await this.refreshFills();
    this.drawLines();
    this.#element.dataset.ready = "true";
    this.#element.querySelector("[data-wait]").hidden = this.#candles.rows.length > 0;
    setInterval(() => document.hidden || this.#loadNewest(), POLL_MS);
  }

  /** Fetches fills from the newest on, until a page has none that is new. */
  async refreshFills() {
    const page = await this.#fetch("fills", {});
    if (!page) return;
    if (!this.#fillsCursor && !this.#hasAllFills) this.#keepPlace(page);
    if (this.#fills.add(page.fills)) this.#drawMarkers();
    await this.#loadOlderFills();
  }

  /** Draws the lines that the panels of the page name: rows and figures with a `data-line`. */
  drawLines() {
    for (const line of this.#lines) this.#series.removePriceLine(line);
    this.#lines = [...document.querySelectorAll("[data-line]")].map((source) => {
      const { line, price, label } = source.dataset;
      return this.#series.createPriceLine({
        price: Number(price),
        title: label,
        color: colour({ average: "--accent", buy: "--up" }[line] ?? "--down"),
        lineWidth: 1,
        lineStyle: line === "average" ? LineStyle.Dotted : LineStyle.Dashed,
        axisLabelVisible: true,
      });
    });
    this.#element.dataset.lines = this.#lines.length;
  }

  async #loadNewest() {
    const since = this.#candles.last?.[TIME];
    const page = await this.#fetch("candles", since === undefined ? {} : { since });
    this.#element.closest("section").classList.toggle("stale", !page || page.stale);
    if (!page) return;
    const changed = this.#candles.merge(page.forming ? [...page.candles, page.forming] : page.candles);
    if (changed === "same") return;
    if (since === undefined || changed === "all") this.#drawAll();
    else for (const row of this.#candles.rows.filter((each) => each[TIME] >= since)) this.#series.update(asBar(row));
    this.#element.dataset.candles = this.#candles.rows.length;
    this.#tell(this.#focus);
  }

  async #loadOlder() {
    const before = this.#candles.first?.[TIME];
    if (this.#isLoading || this.#hasAll || before === undefined) return;
    this.#isLoading = true;
    const page = await this.#fetch("candles", { before });
    if (page) {
      this.#candles.merge(page.candles);
      this.#hasAll = !page.has_older;
      this.#drawAll();
      this.#element.dataset.candles = this.#candles.rows.length;
      await this.#loadOlderFills();
    }
    this.#isLoading = false;
  }

  async #loadOlderFills() {
    while (!this.#hasAllFills && this.#fills.size < MOST_FILLS && this.#fills.oldest >= this.#candles.first?.[TIME]) {
      const page = await this.#fetch("fills", { cursor: this.#fillsCursor });
      if (!page) return;
      this.#keepPlace(page);
      this.#fills.add(page.fills);
    }
    this.#drawMarkers();
  }

  #keepPlace(page) {
    this.#fillsCursor = page.older;
    this.#hasAllFills = page.older === "";
  }

  #drawAll() {
    const rows = this.#candles.rows;
    if (rows.length === 0) return;
    const precision = Math.max(...rows.slice(-200).flatMap((row) => row.slice(1, 5).map(decimalsOf)));
    this.#series.applyOptions({ priceFormat: { type: "price", precision, minMove: 10 ** -precision } });
    this.#series.setData(rows.map(asBar));
    this.#drawMarkers();
  }

  #drawMarkers() {
    const colours = { buy: colour("--mark-buy"), sell: colour("--mark-sell") };
    const markers = markersOf(this.#fills.all, this.#candles, colours);
    this.#markers.setMarkers(markers);
    this.#element.dataset.markers = markers.length;
  }

  /** Says the candle below the cursor, or the newest one, as the exchange wrote it. */
  #tell(time) {
    this.#focus = time;
    const row = (time !== undefined && this.#candles.at(time)) || this.#candles.last;
    if (!row) return;
    const [seconds, ...amounts] = row;
    const { zone, language } = this.#told;
    const section = this.#element.closest("section");
    section.querySelector("[data-said=time]").textContent = moment(seconds, zone, language);
    for (const [index, name] of ["open", "high", "low", "close", "volume"].entries()) {
      section.querySelector(`[data-said=${name}]`).textContent = amounts[index];
    }
  }

  #steer(event) {
    const scale = this.#chart.timeScale();
    const range = scale.getVisibleLogicalRange();
    if (!range) return;
    const width = range.to - range.from;
    const move = { ArrowLeft: [-width / 8, -width / 8], ArrowRight: [width / 8, width / 8] };
    const zoom = { "+": [width / 8, 0], "-": [-width / 8, 0] };
    const change = { ...move, ...zoom }[event.key];
    if (event.key === "End") scale.scrollToRealTime();
    else if (change) scale.setVisibleLogicalRange({ from: range.from + change[0], to: range.to + change[1] });
    else return;
    event.preventDefault();
  }

  #paint() {
    const [text, line, up, down] = ["--text-2", "--grid", "--candle-up", "--candle-down"].map(colour);
    this.#chart.applyOptions({
      layout: { background: { color: colour("--surface") }, textColor: text },
      grid: { vertLines: { color: line }, horzLines: { color: line } },
      rightPriceScale: { borderColor: line },
      timeScale: { borderColor: line },
    });
    this.#series.applyOptions({ upColor: up, downColor: down, wickUpColor: up, wickDownColor: down });
    this.#drawMarkers();
    this.drawLines();
  }

  /** JSON of one of the page's addresses; null where it cannot be had now. */
  async #fetch(name, query) {
    const address = new URL(this.#told[`${name}At`], location.href);
    for (const [key, value] of Object.entries(query)) if (value !== "") address.searchParams.set(key, value);
    try {
      const answer = await fetch(address, { headers: { Accept: "application/json" } });
      return answer.status === 200 ? await answer.json() : null;
    } catch {
      return null;
    }
  }
}

const element = document.querySelector("[data-price-chart]");
if (element) {
  const chart = new PriceChart(element);
  chart.begin();
  document.addEventListener("console:trade", () => chart.refreshFills());
  document.addEventListener("console:panel", () => chart.drawLines());
}
