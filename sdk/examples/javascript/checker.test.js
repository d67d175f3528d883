import assert from "node:assert/strict";
import { test } from "node:test";

import { checker, judge } from "./checker.js";
import { trial, withPeer } from "./vitald_testing.js";

test("the line must start as it should", () => {
  assert.deepEqual(judge("220 mail ready", "220"), { status: "up", message: "220 mail ready" });
  assert.deepEqual(judge("500 no", "220"), { status: "down", message: "unexpected greeting: 500 no" });
});

test("a greeting is read and measured", async () => {
  const outcome = await withPeer("220 mail ready\r\nmore\r\n", ({ url }) => trial(checker, url));
  assert.equal(outcome.status, "up");
  assert.equal(outcome.message, "220 mail ready");
  assert.equal(outcome.measurements[0].name, "connect");
});

test("another greeting can be expected", async () => {
  await withPeer("SSH-2.0-x\n", async ({ url }) => {
    assert.equal((await trial(checker, url)).status, "down");
    assert.equal((await trial(checker, url, { starts_with: "SSH-" })).status, "up");
  });
});

test("what fails on the way is down with the phase", async () => {
  const port = await withPeer("", async ({ port, url }) => {
    const silent = await trial(checker, url);
    assert.equal(silent.status, "down");
    assert.equal(silent.message, `read 127.0.0.1:${port}: connection closed`);
    return port;
  });
  const refused = await trial(checker, `tcp://127.0.0.1:${port}`);
  assert.equal(refused.status, "down");
  assert.equal(refused.message, `connect 127.0.0.1:${port}: refused`);
});
