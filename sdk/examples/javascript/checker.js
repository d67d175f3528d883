// A checker in JavaScript: it waits for a line from a TCP service and looks at how it starts.
import { define, down, up } from "./vitald.js";

const schema = {
  type: "object",
  additionalProperties: false,
  properties: {
    starts_with: { type: "string", default: "220", description: "What the first line must start with." },
  },
};

export function judge(line, startsWith) {
  return line.startsWith(startsWith) ? up(line) : down(`unexpected greeting: ${line}`);
}

async function check(run) {
  const stream = await run.connect();
  run.measure("connect", stream.seconds("connect"), "seconds");
  return judge(await stream.readLine(), run.params.starts_with);
}

// The agent looks for this name.
export const checker = define(check, {
  summary: "Waits for a line from a TCP service and looks at how it starts.",
  version: "0.1.0",
  schemes: { tcp: undefined, smtp: 25, smtps: 465 },
  schema,
});
