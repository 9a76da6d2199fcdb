// What the clients that play scenarios share: their arguments, the tool, and their output.
import { readFileSync } from "node:fs";

const UNKNOWN_KEY = `sk-mg-v1-${"0".repeat(49)}`;
export const CITY = {
    type: "object",
    properties: { name: { type: "string" }, people: { type: "integer" } },
    required: ["name", "people"],
    additionalProperties: false,
};
export const WEATHER = {
    name: "weather",
    description: "The weather of a city",
    parameters: {
        type: "object",
        properties: { city: { type: "string" } },
        required: ["city"],
        additionalProperties: false,
    },
};

export const weather = ({ city }) => `sunny in ${city}`;

// The error of a call.
export async function raised(call) {
    try {
        await call();
    } catch (error) {
        return error;
    }
    throw new Error("expected an error");
}

// `player` has the methods of `Player` in ../scenarios.py.
const SCENARIOS = {
    text: (player) => player.say("hello", false),
    text_stream: (player) => player.say("hello", true),
    tool: (player) => player.useTools("Bern", false),
    tool_stream: (player) => player.useTools("Bern", true),
    tools: (player) => player.useTools("Bern, Oslo", false),
    tools_stream: (player) => player.useTools("Bern, Oslo", true),
    typed: (player) => player.typed("city", false),
    typed_stream: (player) => player.typed("city", true),
    think: (player) => player.think("think", false),
    think_stream: (player) => player.think("think", true),
    unknown_model: (player, { key }) => player.status("acme/unknown", key),
    unknown_key: (player, { model }) => player.status(model, UNKNOWN_KEY),
    no_credits: (player, { model, poorKey }) => player.status(model, poorKey),
    limited: (player) => player.limited("limit", false),
    limited_stream: (player) => player.limited("limit", true),
    broken: (player) => player.broken("break"),
    left: (player) => player.leave("wait", "I left"),
};

// Plays all scenarios with every model, and prints what the client of a package saw, as JSON.
// Arguments: base URL, a key, a key without credits, and the models. A scenario adds to `charged`
// the cost of each call that it sees, as the shortest text of the number.
export async function play(packageName, connect, args = process.argv.slice(2)) {
    const [baseURL, key, poorKey, ...models] = args;
    const manifest = new URL(`node_modules/${packageName}/package.json`, import.meta.url);
    const output = { version: JSON.parse(readFileSync(manifest)).version };
    for (const model of models) {
        const setup = { baseURL, key, poorKey, model, charged: [] };
        const player = connect(setup);
        const seen = {};
        for (const [name, scenario] of Object.entries(SCENARIOS)) {
            try {
                seen[name] = await scenario(player, setup);
            } catch (error) {
                console.error(name, error);
                seen[name] = String(error);
            }
        }
        output[model] = { seen, charged: setup.charged };
    }
    console.log(JSON.stringify(output));
}
