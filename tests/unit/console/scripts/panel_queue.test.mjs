import assert from "node:assert/strict";
import test from "node:test";

import { PAUSE_MS, PanelQueue } from "../../../../apps/console/static/console/panel_queue.js";

/** A queue whose clock and fetches the test moves. */
function scripted() {
  const fetched = [];
  const timers = [];
  const clock = { now: 0 };
  const queue = new PanelQueue(
    (panel) => new Promise((done, failed) => fetched.push({ panel, done, failed })),
    { now: () => clock.now, later: (act, ms) => timers.push({ act, at: clock.now + ms }) },
  );
  const pass = (ms) => {
    clock.now += ms;
    for (const timer of timers.splice(0)) timer.at <= clock.now ? timer.act() : timers.push(timer);
  };
  return { queue, fetched, pass };
}
const settled = () => new Promise((done) => setImmediate(done));

test("many events bring one fetch, and one more for what came meanwhile", async () => {
  const { queue, fetched, pass } = scripted();
  for (let count = 0; count < 100; count += 1) queue.add("orders");
  pass(0);
  for (let count = 0; count < 100; count += 1) queue.add("orders");
  assert.equal(fetched.length, 1);
  fetched[0].done();
  await settled();
  pass(PAUSE_MS);
  assert.equal(fetched.length, 2);
  fetched[1].done();
  await settled();
  pass(PAUSE_MS);
  assert.equal(fetched.length, 2);
});

test("a fetch follows the last one after a pause", async () => {
  const { queue, fetched, pass } = scripted();
  queue.add("orders");
  pass(0);
  fetched[0].done();
  await settled();
  queue.add("orders");
  pass(PAUSE_MS - 1);
  assert.equal(fetched.length, 1);
  pass(1);
  assert.equal(fetched.length, 2);
});

test("one that fails bars neither the next one nor other panels", async () => {
  const { queue, fetched, pass } = scripted();
  queue.add("orders");
  queue.add("trades");
  pass(0);
  assert.deepEqual(fetched.map(({ panel }) => panel), ["orders", "trades"]);
  fetched[0].failed(new Error("offline"));
  await settled();
  queue.add("orders");
  pass(PAUSE_MS);
  assert.equal(fetched.length, 3);
});
