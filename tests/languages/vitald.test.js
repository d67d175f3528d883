// The part of the JavaScript example that users leave as it is. Run by tests/components/build in a copy of the example.
import assert from "node:assert/strict";
import { test } from "node:test";

import { CannotJudge, Down, degraded, define, up } from "./vitald.js";
import { trial, withPeer } from "./vitald_testing.js";

const about = { summary: "", version: "0.1.0", schemes: { tcp: undefined } };
const made = (check, schema = {}) => define(check, { ...about, schema });
const run = (check, answer = "220 hi\r\n", state = undefined, schema = {}) =>
  withPeer(answer, ({ url }) => trial(made(check, schema), url, {}, state));
const reason = async (check) => {
  const error = await run(check).then(
    () => assert.fail("there was a verdict"),
    (thrown) => thrown,
  );
  return error.payload;
};

test("what the answer breaks is down, and a mistake is not", async () => {
  const parsed = await run(async (run) => up(JSON.parse(await (await run.connect()).readLine()).x), "no JSON\n");
  assert.equal(parsed.status, "down");
  assert.match(parsed.message, /^SyntaxError: .*vitald\.test\.js:/);
  const mistake = await reason(async (run) => {
    await (await run.connect()).readLine();
    return up(undefinedName);
  });
  assert.equal(mistake.tag, "internal");
  assert.match(mistake.val, /undefinedName/);
});

test("before the first byte a wrong value is the checker's", async () => {
  const { tag } = await reason(async () => up(JSON.parse("x")));
  assert.equal(tag, "internal");
});

test("a checker may say so itself", async () => {
  const lagging = await run(async () => {
    throw new Down("the replica\nlags");
  });
  assert.deepEqual([lagging.status, lagging.message], ["down", "the replica lags"]);
  const unknown = await reason(async () => {
    throw new CannotJudge("no baseline yet");
  });
  assert.deepEqual(unknown, { tag: "internal", val: "no baseline yet" });
  assert.equal((await run(async () => degraded("slow"))).status, "degraded");
});

test("a check without a target is told so", async () => {
  const checker = made(async (run) => up(String(await run.connect())));
  const request = { target: "", endpoints: [], params: "{}", timeout: 1n, attributes: [] };
  await assert.rejects(checker.check(request), ({ payload }) => payload.tag === "invalid-params");
});

test("lines are cut where they end or get too long", async () => {
  const outcome = await run(async (run) => {
    const stream = await run.connect();
    const lines = [await stream.readLine(), await stream.readLine(4), await stream.readLine(), await stream.readLine()];
    return up(lines.join("|"));
  }, "one\r\nlong line\nthree\nrest");
  assert.equal(outcome.message, "one|long| line|three");
});

test("what is sent arrives whole", async () => {
  const outcome = await run(async (run) => {
    const stream = await run.connect();
    await stream.write("x".repeat(10_000));
    return up(await stream.readLine());
  });
  assert.equal(outcome.status, "up");
});

test("state, measurements, parts and defaults", async () => {
  const count = async (run) => {
    run.state = { runs: (run.state?.runs ?? 0) + 1 };
    run.measure("lag", 3, "seconds", { labels: { shard: "a" } });
    run.measure("total", 7, "", { kind: "counter" });
    run.measure("absent", undefined);
    run.part("disk", degraded("full\nsoon"));
    return up(run.params.word);
  };
  const schema = { properties: { word: { default: "hi" }, other: {} } };
  const outcome = await run(count, "", { runs: 4 }, schema);
  assert.deepEqual(JSON.parse(new TextDecoder().decode(outcome.state)), { runs: 5 });
  assert.equal(outcome.message, "hi");
  assert.deepEqual(outcome.measurements[0].labels, [["shard", "a"]]);
  assert.deepEqual(
    outcome.measurements.map(({ name, kind }) => [name, kind]),
    [
      ["lag", "gauge"],
      ["total", "counter"],
    ],
  );
  assert.equal(outcome.parts[0].message, "full soon");
});

test("a message is one short line", async () => {
  const { message } = await run(async () => up(`\x1b[2Ja\r\n b ${"é".repeat(400)}`));
  assert.ok(message.startsWith("[2Ja b é"), message);
  assert.equal(message.length, 303);
});
