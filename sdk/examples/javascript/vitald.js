// The agent's interface (wit/) for a checker in JavaScript. Leave it as it is, and write your checker in checker.js.
//
// What fails on the way to the target is DOWN, with the phase and the address in the message; so is an answer that
// cannot be understood. What the host refuses, and what says nothing of the target, is an error: the run could not
// judge. There is no timeout to set: the host ends a run that takes too long, and says so.
//
// In the sandbox nothing of this has to be awaited: the host's calls block. In a unit test they do not, so await.
import { log } from "vitald:check/log@0.1.0";
import * as net from "vitald:check/net@0.1.0";

// Schemes whose ports speak TLS from the first byte.
const TLS_SCHEMES = "https wss tls rediss ldaps imaps pop3s smtps amqps mqtts nntps ftps".split(" ");

const CAUSES = {
  denied: "denied",
  "name-not-found": "name not found",
  "name-unavailable": "no resolver answered",
  refused: "refused",
  unreachable: "unreachable",
  reset: "connection reset",
  timeout: "timeout",
  closed: "connection closed",
};

// What JavaScript throws where an answer is not what it should be: no JSON, no number of that size. Other errors are
// mistakes of the checker.
const OF_THE_ANSWER = [SyntaxError, RangeError];

const DISPOSE = Symbol.dispose ?? Symbol.for("dispose");

// What one write to the host takes at most (wasi:io).
const MAX_WRITE = 4096;
const MAX_LINE = 4096;
const MAX_MESSAGE = 300;

export const up = (message) => ({ status: "up", message });
export const degraded = (message) => ({ status: "degraded", message });
export const down = (message) => ({ status: "down", message });

// The target is down: for helpers that cannot return a verdict.
export class Down extends Error {}

// The run says nothing of the target: the check is shown as unknown, with this reason.
export class CannotJudge extends Error {}

// A failed operation on a connection. It prints as `connect 10.0.0.9:25: refused`.
export class NetError extends Error {
  constructor(phase, peer, cause) {
    super(`${phase} ${peer}: ${CAUSES[cause.tag] ?? cause.val}`);
    this.phase = phase;
    this.tag = cause.tag;
  }
}

// An open connection. It closes at the end of the run, or by close().
export class Stream {
  #connection;
  #peer;
  #run;
  #halves;
  #rest = new Uint8Array();

  constructor(connection, peer, run) {
    this.#connection = connection;
    this.#peer = peer;
    this.#run = run;
  }

  // How long the host took to "resolve", to "connect", or for "tls"; undefined where it did not do that.
  seconds(phase) {
    const found = this.#connection.timings().find(([name]) => name === phase);
    return found && Number(found[1]) / 1e9;
  }

  // Wraps what follows in TLS. The host verifies the peer with the operator's roots.
  async startTls(serverName) {
    this.#halves = undefined;
    this.#rest = new Uint8Array();
    const options = { serverName, alpn: [], inspectOnly: false, attributes: [] };
    await this.#do("TLS with", () => this.#connection.startTls(options, undefined));
  }

  // Some bytes, at least one; undefined at the end.
  async read() {
    if (this.#rest.length > 0) {
      const rest = this.#rest;
      this.#rest = new Uint8Array();
      return rest;
    }
    const [input] = await this.#streams("read");
    let bytes;
    do {
      bytes = await this.#do("read", () => input.blockingRead(65536n));
    } while (bytes?.length === 0);
    this.#run.heard = true;
    return bytes;
  }

  // The next line without its end. A longer one is cut; it may also end with the connection.
  async readLine(limit = MAX_LINE) {
    let line = new Uint8Array();
    let end = -1;
    while (end < 0 && line.length < limit) {
      const news = await this.read();
      if (!news && line.length === 0) {
        throw new NetError("read", this.#peer, { tag: "closed" });
      }
      if (!news) {
        break;
      }
      line = joined(line, news);
      end = line.indexOf(10);
    }
    const length = Math.min(end < 0 ? line.length : end, limit);
    this.#rest = line.slice(length === end ? end + 1 : length);
    return new TextDecoder().decode(line.slice(0, length)).replace(/\r+$/, "");
  }

  // Sends it all: text or bytes.
  async write(data) {
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    const [, output] = await this.#streams("write");
    for (let at = 0; at < bytes.length; at += MAX_WRITE) {
      const piece = bytes.subarray(at, at + MAX_WRITE);
      await this.#do("write", () => output.blockingWriteAndFlush(piece));
    }
  }

  close() {
    this.#halves = undefined;
    this.#connection?.[DISPOSE]();
    this.#connection = undefined;
  }

  async #streams(phase) {
    this.#halves ??= await this.#do(phase, () => this.#connection.streams());
    return this.#halves;
  }

  async #do(phase, operation) {
    try {
      return await operation();
    } catch (thrown) {
      const cause = causeOf(thrown);
      if (phase === "read" && cause.tag === "closed" && cause.ended) {
        return undefined;
      }
      throw new NetError(phase, this.#peer, cause);
    }
  }
}

// What the host threw: an error of net, or of a stream, which net knows more about.
function causeOf(thrown) {
  const { payload } = thrown;
  if (payload?.tag === "last-operation-failed") {
    return net.errorOf(payload.val) ?? { tag: "other", val: payload.val.toDebugString() };
  }
  if (!payload?.tag) {
    throw thrown;
  }
  // A stream has two cases of error, and this is its other one.
  return payload.tag === "closed" ? { tag: "closed", ended: true } : payload;
}

function joined(first, second) {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}

// One run: what was asked, and what there is to say beside the verdict.
class Run {
  measurements = [];
  parts = [];
  // Whether the target has said anything, be it the end.
  heard = false;
  streams = [];

  constructor(request, defaults) {
    this.target = request.target;
    this.endpoints = request.endpoints;
    this.timeout = Number(request.timeout) / 1e9;
    this.params = { ...defaults, ...JSON.parse(request.params || "{}") };
    // Anything that JSON can hold, from the last run of this check to the next.
    this.state = request.state && JSON.parse(new TextDecoder().decode(request.state));
  }

  // Opens a connection to the target, with TLS where its scheme says so.
  async connect() {
    const [endpoint] = this.endpoints;
    if (!endpoint) {
      throw judgement("invalid-params", "the check has no target to connect to");
    }
    const stream = await this.connectTo(endpoint.host, endpoint.port);
    if (TLS_SCHEMES.includes(this.target.split("://")[0])) {
      await stream.startTls();
    }
    return stream;
  }

  // The same to another host and port, which the operator must allow; without TLS.
  async connectTo(host, port) {
    const peer = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
    try {
      const stream = new Stream(await net.connect(host, port, undefined), peer, this);
      this.streams.push(stream);
      return stream;
    } catch (thrown) {
      throw new NetError("connect", peer, causeOf(thrown));
    }
  }

  // A number for /metrics, in a base unit ("seconds", "bytes", "ratio") or none. An undefined one is left out.
  measure(name, value, unit = "", { kind = "gauge", labels = {} } = {}) {
    if (value !== undefined) {
      this.measurements.push({ name, kind, value, unit, labels: Object.entries(labels) });
    }
  }

  // A piece of the judgement, for a person to see.
  part(name, { status, message }) {
    this.parts.push({ name, status, message: oneLine(message) });
  }

  // A line in the agent's log: "debug", "info", "warn", "error".
  log(message, level = "info") {
    log(level, message);
  }
}

// What the agent calls, made from a function that gets a run and returns a verdict.
export function define(check, { summary, version, schemes, schema }) {
  const whole = { $schema: "https://json-schema.org/draft/2020-12/schema", ...schema };
  const withDefault = Object.entries(schema.properties ?? {}).filter(([, of]) => "default" in of);
  const defaults = Object.fromEntries(withDefault.map(([name, of]) => [name, of.default]));
  return {
    describe() {
      return {
        summary,
        version,
        paramsSchema: JSON.stringify(whole),
        schemes: Object.entries(schemes).map(([name, defaultPort]) => ({ name, defaultPort })),
        attributes: [],
      };
    },

    async check(request) {
      const run = new Run(request, defaults);
      const { status, message } = await judged(check, run);
      const { measurements, parts } = run;
      const state = run.state === undefined ? undefined : new TextEncoder().encode(JSON.stringify(run.state));
      return { status, message: oneLine(message), measurements, parts, state, attributes: [] };
    },
  };
}

// The one place that decides whether a failure is the target's.
async function judged(check, run) {
  try {
    return await check(run);
  } catch (error) {
    if (error instanceof Down) {
      return down(error.message);
    }
    if (error instanceof CannotJudge) {
      throw judgement("internal", error.message);
    }
    if (error instanceof NetError) {
      return judgedNet(error);
    }
    if (error.payload) {
      throw error;
    }
    const message = `${error.name}: ${error.message} (${where(error)})`;
    if (run.heard && OF_THE_ANSWER.some((kind) => error instanceof kind)) {
      return down(message);
    }
    throw judgement("internal", message);
  } finally {
    for (const stream of run.streams) {
      stream.close();
    }
  }
}

function judgedNet(error) {
  if (error.tag === "denied") {
    throw judgement("denied", error.message);
  }
  if (error.tag === "name-unavailable") {
    throw judgement("other", `resolver: ${error.message}`);
  }
  if (error.tag === "other" && ["connect", "TLS with"].includes(error.phase)) {
    throw judgement("other", error.message);
  }
  return down(error.message);
}

// An `error` of the interface: the bindings look for `payload`.
function judgement(tag, message) {
  return Object.assign(new Error(message), { payload: { tag, val: oneLine(message) } });
}

// The line that raised it.
const where = (error) => String(error.stack).split("\n").find((line) => line.includes(".js:"))?.trim() ?? "?";

function oneLine(text) {
  const line = text.replace(/[\u0000-\u0020\u007f-\u009f]+/g, " ").trim();
  return line.length > MAX_MESSAGE ? `${line.slice(0, MAX_MESSAGE)}...` : line;
}
