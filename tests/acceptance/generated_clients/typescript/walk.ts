// From registering to a bot's trades, with types that openapi-typescript generates and openapi-fetch. Run by a test.
//
// Arguments: the gateway's address, an e-mail address, a pair, an interval in minutes. The code of the mail that confirms
// the address is the first line of standard input. Prints the sides of the trades as JSON.

import { createInterface } from "node:readline/promises";
import { argv, exit, stdin } from "node:process";
import { randomUUID } from "node:crypto";
import createClient from "openapi-fetch";
import type { components, paths as KrakenPaths } from "./kraken.js";
import type { components as UserComponents, paths as UserPaths } from "./user.js";

type Receipt = components["schemas"]["Receipt"];
type Interval = components["schemas"]["IntervalMinutesEnum"];
type ErrorCode = UserComponents["schemas"]["ErrorCode"];

const PASSWORD = "correct horse battery staple";
const WAIT_MS = 90_000;
const POLL_MS = 250;

interface Answer<Data> {
  data?: Data;
  error?: unknown;
  response: Response;
}

// The content of an answer of this status; throws what was answered otherwise.
function parsed<Data>(answer: Answer<Data>, status: number): Data {
  if (answer.response.status !== status || answer.data === undefined) {
    throw new Error(`${answer.response.url}: ${answer.response.status} ${JSON.stringify(answer.error)}`);
  }
  return answer.data;
}

async function until<Data>(what: string, read: () => Promise<Data>, holds: (seen: Data) => boolean): Promise<Data> {
  const deadline = Date.now() + WAIT_MS;
  for (;;) {
    const seen = await read();
    if (holds(seen)) return seen;
    if (Date.now() > deadline) throw new Error(`waited for ${what}: ${JSON.stringify(seen)}`);
    await new Promise((resume) => setTimeout(resume, POLL_MS));
  }
}

const once = () => ({ "Idempotency-Key": randomUUID() });

// Registers, confirms the address with the mailed code, and logs in.
async function tokenOf(url: string, email: string): Promise<string> {
  const client = createClient<UserPaths>({ baseUrl: url });
  parsed(
    await client.POST("/api/v1/auth/register", { params: { header: once() }, body: { email, password: PASSWORD } }),
    201,
  );

  const refused = await client.POST("/api/v1/auth/login", { body: { email, password: "a wrong one" } });
  const expected: ErrorCode = "invalid_credentials";
  if (refused.error?.error.code !== expected) throw new Error(`a wrong password: ${JSON.stringify(refused.error)}`);

  const token = await createInterface({ input: stdin }).question("");
  const confirmed = await client.POST("/api/v1/auth/email/verify", { body: { token, password: PASSWORD } });
  if (confirmed.response.status !== 204) throw new Error(`verify: ${JSON.stringify(confirmed.error)}`);
  return parsed(await client.POST("/api/v1/auth/login", { body: { email, password: PASSWORD } }), 200).access;
}

async function walk(url: string, email: string, pair: string, interval: Interval): Promise<string[]> {
  const headers = { Authorization: `Bearer ${await tokenOf(url, email)}` };
  const me = parsed(await createClient<UserPaths>({ baseUrl: url, headers }).GET("/api/v1/user/me"), 200);
  if (me.email !== email || me.email_verified_at === null) throw new Error(`me: ${JSON.stringify(me)}`);

  const client = createClient<KrakenPaths>({ baseUrl: url, headers });
  const connected = await client.POST("/api/v1/kraken/connect", {
    params: { header: once() },
    body: { label: "Generated", mode: "paper" },
  });
  const key = parsed(connected, 201);
  const keys = parsed(await client.GET("/api/v1/kraken/keys"), 200);
  if (keys.results.map((each) => each.id).join() !== key.id) throw new Error(`keys: ${JSON.stringify(keys)}`);

  const created = await client.POST("/api/v1/bot", {
    params: { header: once() },
    body: {
      name: "Generated",
      credential_id: key.id,
      pair,
      strategy: "sma_cross",
      parameters: { fast: 1, slow: 3 },
      interval_minutes: interval,
      quote_budget: "1000",
    },
  });
  const bot = parsed(created, 201);
  const path = { bot_id: bot.id };

  const carriedOut = async (command: Receipt): Promise<void> => {
    const receipt = await until(
      `the end of ${command.kind}`,
      async () =>
        parsed(
          await client.GET("/api/v1/bot/{bot_id}/commands/{command_id}", {
            params: { path: { ...path, command_id: command.id } },
          }),
          200,
        ),
      (each) => !["requested", "delivered", "running"].includes(each.state),
    );
    if (receipt.state !== "done") throw new Error(`${receipt.kind}: ${receipt.state} ${receipt.reason}`);
  };

  const start = await client.POST("/api/v1/bot/{bot_id}/start", { params: { path, header: once() } });
  await carriedOut(parsed(start, 202));
  const trades = await until(
    "a trade",
    async () =>
      parsed(await client.GET("/api/v1/bot/{bot_id}/trades", { params: { path, query: { limit: 10 } } }), 200),
    (page) => page.results.length > 0,
  );
  const stop = await client.POST("/api/v1/bot/{bot_id}/stop", { params: { path, header: once() }, body: {} });
  await carriedOut(parsed(stop, 202));
  await until(
    "the bot to have stopped",
    async () => parsed(await client.GET("/api/v1/bot/{bot_id}/status", { params: { path } }), 200),
    (status) => status.state === "stopped",
  );
  if (trades.results.some((trade) => trade.bot_id !== bot.id)) throw new Error(`trades: ${JSON.stringify(trades)}`);
  return trades.results.map((trade) => trade.side);
}

const [, , url, email, pair, interval] = argv;
if (!url || !email || !pair || !interval) throw new Error("address, e-mail address, pair, interval");
console.log(JSON.stringify(await walk(url, email, pair, Number(interval) as Interval)));
exit(0);
