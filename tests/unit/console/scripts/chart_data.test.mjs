import assert from "node:assert/strict";
import test from "node:test";

import { Candles, Fills, asBar, decimalsOf, markersOf } from "../../../../apps/console/static/console/chart_data.js";

const row = (time, close = "1.10") => [time, "1", "2", "0.5", close, "7"];
const times = (candles) => candles.rows.map(([time]) => time);
const COLOURS = { buy: "blue", sell: "violet" };

test("a page of older candles comes before, and none is there twice", () => {
  const candles = new Candles();
  assert.equal(candles.merge([row(60), row(120)]), "all");
  assert.equal(candles.merge([row(0), row(60)]), "all");
  assert.deepEqual(times(candles), [0, 60, 120]);
});

test("the forming candle is replaced by what is known of it later, and a new one follows it", () => {
  const candles = new Candles();
  candles.merge([row(0), row(60, "1.1")]);
  assert.equal(candles.merge([row(60, "1.1")]), "same");
  assert.equal(candles.merge([row(60, "1.2"), row(120)]), "end");
  assert.deepEqual(times(candles), [0, 60, 120]);
  assert.equal(candles.at(60)[4], "1.2");
});

test("amounts stay text until they are drawn", () => {
  const candles = new Candles();
  candles.merge([row(0, "0.30000000000001")]);
  assert.equal(candles.last[4], "0.30000000000001");
  assert.equal(typeof asBar(candles.last).close, "number");
  assert.equal(decimalsOf("30000.10"), 2);
  assert.equal(decimalsOf("30000"), 0);
});

test("a fill is marked at its candle, several of a side by one mark with their number", () => {
  const candles = new Candles();
  candles.merge([row(0), row(60), row(120)]);
  const fills = [
    { id: "a", time: 61, side: "buy" },
    { id: "b", time: 119, side: "buy" },
    { id: "c", time: 60, side: "sell" },
    { id: "d", time: 500, side: "sell" },
  ];
  const marks = markersOf(fills, candles, COLOURS);
  assert.deepEqual(
    marks.map(({ time, shape, text, color }) => [time, shape, text, color]),
    [[60, "arrowUp", "2", "blue"], [60, "arrowDown", "", "violet"], [120, "arrowDown", "", "violet"]],
  );
});

test("a fill before the first candle waits until that is loaded", () => {
  const candles = new Candles();
  candles.merge([row(60)]);
  const fills = [{ id: "a", time: 10, side: "buy" }];
  assert.deepEqual(markersOf(fills, candles, COLOURS), []);
  candles.merge([row(0)]);
  assert.equal(markersOf(fills, candles, COLOURS)[0].time, 0);
});

test("pages of fills may overlap", () => {
  const fills = new Fills();
  assert.equal(fills.add([{ id: "a", time: 5 }, { id: "b", time: 3 }]), true);
  assert.equal(fills.add([{ id: "b", time: 3 }]), false);
  assert.deepEqual([fills.size, fills.oldest], [2, 3]);
});

test("of 500 fills on 5 000 candles each has its mark", () => {
  const candles = new Candles();
  candles.merge(Array.from({ length: 5000 }, (_, index) => row(index * 60)));
  const fills = Array.from({ length: 500 }, (_, index) => ({ id: index, time: index * 600, side: "buy" }));
  assert.equal(markersOf(fills, candles, COLOURS).length, 500);
});
