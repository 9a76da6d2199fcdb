// Plays the scenarios with OpenAI's Agents SDK for JavaScript and its default model: Responses.
import assert from "node:assert/strict";

import { Agent, OpenAIProvider, Runner, setTracingDisabled, tool } from "@openai/agents";
import OpenAI, { APIError, RateLimitError } from "openai";
import { z } from "zod";

import { play, raised, weather, WEATHER } from "./scenarios.mjs";

const CITY = z.object({ name: z.string(), people: z.int() });
const TOOL = tool({
    name: WEATHER.name,
    description: WEATHER.description,
    parameters: z.object({ city: z.string() }),
    execute: async (city) => weather(city),
});
setTracingDisabled(true);

function player({ baseURL, key, model, charged }) {
    const runner = (apiKey = key) => {
        const openAIClient = new OpenAI({ apiKey, baseURL, maxRetries: 0 });
        return new Runner({ modelProvider: new OpenAIProvider({ openAIClient }) });
    };
    const agent = (more = {}) => new Agent({ name: "Agent", model, ...more });

    // The result of a run. Notes the tokens of its calls, because it shows no cost.
    async function run(prompt, stream, more = {}) {
        const result = await runner().run(agent(more), prompt, { stream });
        if (stream) await read(result, () => {});
        const usages = result.rawResponses.map(({ usage }) => usage);
        charged.push(...usages.map(({ inputTokens, outputTokens }) => [inputTokens, outputTokens]));
        return result;
    }

    // Passes on the text of a streamed run as it arrives.
    async function read(result, take) {
        for await (const event of result)
            if (event.type === "raw_model_stream_event" && event.data.type === "output_text_delta")
                take(event.data.delta);
        await result.completed;
    }

    async function useTools(prompt, stream) {
        const result = await run(prompt, stream, { tools: [TOOL] });
        const calls = result.newItems.filter(({ type }) => type === "tool_call_item");
        return {
            calls: calls.map(({ rawItem }) => [rawItem.name, JSON.parse(rawItem.arguments)]),
            text: result.finalOutput,
        };
    }

    async function think(prompt, stream) {
        const result = await run(prompt, stream);
        const [thought] = result.newItems.filter(({ type }) => type === "reasoning_item");
        const parts = thought.rawItem.content;
        return [parts.map(({ text }) => text).join(""), result.finalOutput];
    }

    async function limited(prompt, stream) {
        const error = await raised(() => run(prompt, stream));
        assert.ok(error instanceof RateLimitError);
        return [error.status, error.headers.get("retry-after")];
    }

    async function broken(prompt) {
        const pieces = [];
        const error = await raised(async () => {
            const result = await runner().run(agent(), prompt, { stream: true });
            await read(result, (piece) => pieces.push(piece));
        });
        assert.ok(error instanceof Error);
        return pieces.join("");
    }

    async function leave(prompt, farewell) {
        const controller = new AbortController();
        const options = { stream: true, signal: controller.signal };
        const result = await runner().run(agent(), prompt, options);
        const pieces = [];
        const take = (piece) => {
            pieces.push(piece);
            controller.abort();
        };
        await read(result, take).catch(() => {});
        await run(farewell, false);
        return pieces.join("");
    }

    async function status(name, apiKey) {
        const run = runner(apiKey).run(agent({ model: name }), "hello");
        const error = await raised(() => run);
        assert.ok(error instanceof APIError);
        return error.status;
    }

    const say = async (prompt, stream) => (await run(prompt, stream)).finalOutput;
    const typed = async (prompt, stream) =>
        (await run(prompt, stream, { outputType: CITY })).finalOutput;
    return { say, useTools, typed, think, status, limited, broken, leave };
}

await play("@openai/agents", player);
