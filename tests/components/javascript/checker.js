// A checker in JavaScript: GET by the engine's fetch, which is wasi:http here. It follows redirects itself, so that each
// hop is a request of its own.

const HOPS = 5;

const SCHEMA = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  type: "object",
  additionalProperties: false,
  properties: { to: { type: "string", description: "A URL to go to instead of the target." } },
};

function outcome(status, message) {
  return { status, message, measurements: [], parts: [], state: undefined, attributes: [] };
}

async function get(url) {
  for (let hop = 0; hop <= HOPS; hop++) {
    const response = await fetch(url, { redirect: "manual" });
    const location = response.headers.get("location");
    if (response.status < 300 || response.status > 399 || !location) {
      return { status: response.status, body: await response.text() };
    }
    url = new URL(location, url).href;
  }
  throw new Error(`more than ${HOPS} redirects`);
}

export const checker = {
  describe() {
    return {
      summary: "Answers GET with 2xx, asked by JavaScript's fetch.",
      version: "0.1.0",
      paramsSchema: JSON.stringify(SCHEMA),
      schemes: [{ name: "http", defaultPort: 80 }, { name: "https", defaultPort: 443 }],
      attributes: [],
    };
  },

  async check(request) {
    const { to } = JSON.parse(request.params);
    try {
      const { status, body } = await get(to ?? request.target);
      const well = status >= 200 && status <= 299;
      return outcome(well ? "up" : "down", `${status}, ${body.length} characters`);
    } catch (error) {
      // fetch does not say why: a refusal looks like a server that is away.
      return outcome("down", `fetch: ${error.message}`);
    }
  },
};
