// Runs a checker without the agent, for unit tests: the same interface, over node's own sockets. There is no sandbox
// and no TLS here, and every address is granted; `vitald try` has all of that. Leave this file as it is.
//
// Loaded by `node --import ./vitald_testing.js`, it also tells node what the modules of the agent are: this one.
import { register } from "node:module";
import { createConnection, createServer } from "node:net";

const here = JSON.stringify(import.meta.url);
const hooks = `export const resolve = (name, context, next) =>
  name.startsWith("vitald:check/") ? { url: ${here}, shortCircuit: true } : next(name, context);`;
register(`data:text/javascript,${encodeURIComponent(hooks)}`);

// What a real host would end; here a test fails instead of hanging.
const PATIENCE_MS = 10_000;

const CAUSES = { ECONNREFUSED: "refused", ECONNRESET: "reset", ENOTFOUND: "name-not-found", EPIPE: "closed" };

// Errors are thrown as the bindings throw them.
const thrown = (payload) => Object.assign(new Error(payload.tag), { payload });
const causeOf = (error) => ({ tag: CAUSES[error.code] ?? "other", val: error.message });
const failed = (error) => thrown({ tag: "last-operation-failed", val: error });

export const errorOf = causeOf;

export const log = (level, message) => console.log(`${level}: ${message}`);

class Input {
  constructor(socket) {
    this.chunks = socket[Symbol.asyncIterator]();
  }

  async blockingRead() {
    const { value, done } = await this.chunks.next().catch((error) => {
      throw failed(error);
    });
    if (done) {
      throw thrown({ tag: "closed" });
    }
    return new Uint8Array(value);
  }
}

class Output {
  constructor(socket) {
    this.socket = socket;
  }

  blockingWriteAndFlush(bytes) {
    return new Promise((sent, lost) => {
      this.socket.write(bytes, (error) => (error ? lost(failed(error)) : sent()));
    });
  }
}

class Connection {
  constructor(socket, nanoseconds) {
    this.socket = socket;
    this.nanoseconds = nanoseconds;
  }

  streams() {
    return [new Input(this.socket), new Output(this.socket)];
  }

  timings() {
    return [["connect", this.nanoseconds]];
  }

  startTls() {
    throw thrown({ tag: "other", val: "TLS is done by the host: try it with `vitald try`" });
  }

  [Symbol.dispose ?? Symbol.for("dispose")]() {
    this.socket.destroy();
  }
}

export function connect(host, port) {
  const start = process.hrtime.bigint();
  return new Promise((connected, lost) => {
    const socket = createConnection({ host, port });
    socket.setTimeout(PATIENCE_MS, () => socket.destroy(new Error("timeout")));
    socket.once("error", (error) => lost(thrown(causeOf(error))));
    socket.once("connect", () => connected(new Connection(socket, process.hrtime.bigint() - start)));
  });
}

// A server on a free port of this machine that sends that to whoever comes, and closes, while `use` runs.
export async function withPeer(answer, use) {
  const server = createServer((socket) => socket.end(answer).resume());
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address();
  try {
    return await use({ port, url: `tcp://127.0.0.1:${port}` });
  } finally {
    server.close();
  }
}

// One run. Returns the outcome; a run that could not judge throws an error with a `payload`.
export async function trial(checker, target, params = {}, state = undefined) {
  const { protocol, hostname, port } = new URL(target);
  const known = checker.describe().schemes.find(({ name }) => `${name}:` === protocol);
  const endpoints = hostname ? [{ host: hostname, port: Number(port || known?.defaultPort) }] : [];
  const last = state === undefined ? undefined : new TextEncoder().encode(JSON.stringify(state));
  const request = { target, endpoints, params: JSON.stringify(params), timeout: 1_000_000_000n, state: last };
  return checker.check({ ...request, attributes: [] });
}
