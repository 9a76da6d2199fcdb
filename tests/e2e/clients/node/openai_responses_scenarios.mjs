// Plays the scenarios with OpenAI's JavaScript client and Responses.
import assert from "node:assert/strict";

import OpenAI, { APIError, RateLimitError } from "openai";
import { zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

import { play, raised, weather, WEATHER } from "./scenarios.mjs";

const FORMAT = zodTextFormat(z.object({ name: z.string(), people: z.int() }), "City");
const TOOLS = [{ type: "function", strict: true, ...WEATHER }];

function player({ baseURL, key, model, charged }) {
    const connect = (apiKey = key) => new OpenAI({ apiKey, baseURL, maxRetries: 0 }).responses;
    const ask = (prompt, more = {}) => ({
        model,
        input: [{ role: "user", content: prompt }],
        store: false,
        ...more,
    });

    async function complete(request, stream = false) {
        const response = stream
            ? await connect().stream(request).finalResponse()
            : await connect()[request.text ? "parse" : "create"](request);
        assert.equal(response.status, "completed");
        charged.push(String(response.usage.cost));
        return response;
    }

    // The loop of an agent, with one round of tools.
    async function useTools(prompt, stream) {
        const request = ask(prompt, { tools: TOOLS });
        const first = await complete(request, stream);
        const calls = first.output.filter(({ type }) => type === "function_call");
        const args = calls.map((call) => JSON.parse(call.arguments));
        const results = calls.map(({ call_id }, index) => ({
            type: "function_call_output",
            call_id,
            output: weather(args[index]),
        }));
        request.input.push(...first.output, ...results);
        const last = await complete(request, stream);
        return { calls: calls.map(({ name }, index) => [name, args[index]]), text: last.output_text };
    }

    async function think(prompt, stream) {
        const response = await complete(ask(prompt, { reasoning: { summary: "auto" } }), stream);
        const thoughts = response.output.filter(({ type }) => type === "reasoning");
        const parts = thoughts.flatMap(({ summary }) => summary);
        return [parts.map(({ text }) => text).join(""), response.output_text];
    }

    async function typed(prompt, stream) {
        const request = ask(prompt, { text: { format: FORMAT } });
        return (await complete(request, stream)).output_parsed;
    }

    async function limited(prompt, stream) {
        const error = await raised(() => connect().create(ask(prompt, { stream })));
        assert.ok(error instanceof RateLimitError);
        return [error.status, error.headers.get("retry-after")];
    }

    async function broken(prompt) {
        const [pieces, ends] = [[], []];
        for await (const event of await connect().create(ask(prompt, { stream: true }))) {
            if (event.type === "response.output_text.delta") pieces.push(event.delta);
            if (event.type === "response.failed") ends.push(event.response.error);
        }
        assert.equal(ends.length, 1);
        return pieces.join("");
    }

    async function leave(prompt, farewell) {
        const stream = await connect().create(ask(prompt, { stream: true }));
        let text;
        for await (const event of stream) {
            if (event.type !== "response.output_text.delta") continue;
            text = event.delta;
            break; // aborts the request
        }
        await complete(ask(farewell));
        return text;
    }

    async function status(name, apiKey) {
        const error = await raised(() => connect(apiKey).create({ ...ask("hello"), model: name }));
        assert.ok(error instanceof APIError);
        return error.status;
    }

    const say = async (prompt, stream) => (await complete(ask(prompt), stream)).output_text;
    return { say, useTools, typed, think, status, limited, broken, leave };
}

await play("openai", player);
