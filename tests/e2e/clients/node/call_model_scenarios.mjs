// Plays the scenarios with `callModel` of OpenRouter's JavaScript client, which calls Responses.
import assert from "node:assert/strict";

import { OpenRouter } from "@openrouter/sdk";
import { tool } from "@openrouter/sdk/lib/tool.js";
import * as errors from "@openrouter/sdk/models/errors";
import { z } from "zod";

import { CITY, play, raised, weather, WEATHER } from "./scenarios.mjs";

const FORMAT = { type: "json_schema", name: "City", strict: true, schema: CITY };
const TOOL = tool({
    name: WEATHER.name,
    description: WEATHER.description,
    inputSchema: z.object({ city: z.string() }),
    execute: async (city) => weather(city),
});

function player({ baseURL, key, model, charged }) {
    const call = (prompt, more = {}, apiKey = key, options) =>
        // By default it retries for an hour when a server fails.
        new OpenRouter({
            apiKey,
            serverURL: baseURL,
            retryConfig: { strategy: "none" },
        }).callModel({ model, input: prompt, ...more }, options);

    // A run ends when the model calls no more tools. Its first responses are in the steps that the
    // condition for stopping sees.
    async function run(prompt, stream, more = {}) {
        let steps = [];
        const stopWhen = (seen) => {
            steps = seen.steps;
            return steps.length > 2;
        };
        const result = call(prompt, { stopWhen, ...more });
        const streamed = stream ? await readAll(result) : {};
        const last = await result.getResponse();
        const responses = [...steps.map(({ response }) => response), last];
        charged.push(...responses.map(({ usage }) => String(usage.cost)));
        const items = responses.flatMap(({ output }) => output);
        return { text: await result.getText(), items, ...streamed };
    }

    // `getReasoningStream` shows no summaries, so thoughts are read from the events.
    async function readAll(result) {
        const [texts, thoughts] = [[], []];
        const readTexts = async () => {
            for await (const piece of result.getTextStream()) texts.push(piece);
        };
        const readThoughts = async () => {
            for await (const event of result.getFullResponsesStream())
                if (event.type === "response.reasoning_summary_text.delta")
                    thoughts.push(event.delta);
        };
        await Promise.all([readThoughts(), readTexts()]);
        return { text: texts.join(""), thoughts: thoughts.join("") };
    }

    async function useTools(prompt, stream) {
        const { text, items } = await run(prompt, stream, { tools: [TOOL] });
        const calls = items.filter(({ type }) => type === "function_call");
        return {
            calls: calls.map(({ name, arguments: args }) => [name, JSON.parse(args)]),
            text: text.replaceAll('"', ""), // it sends results as JSON
        };
    }

    async function think(prompt, stream) {
        const { text, items, thoughts } = await run(prompt, stream);
        const reasoning = items.filter(({ type }) => type === "reasoning");
        const summary = reasoning.flatMap(({ summary }) => summary).map(({ text }) => text);
        assert.ok(!stream || thoughts === summary.join(""));
        return [summary.join(""), text];
    }

    async function typed(prompt, stream) {
        return JSON.parse((await run(prompt, stream, { text: { format: FORMAT } })).text);
    }

    async function limited(prompt, stream) {
        const error = await raised(() => run(prompt, stream));
        // Its class for 429 wants a number as `code`, where OpenAI sends a word.
        assert.ok(error instanceof errors.OpenRouterError);
        return [error.statusCode, error.headers.get("retry-after")];
    }

    async function broken(prompt) {
        const pieces = [];
        const error = await raised(async () => {
            const result = call(prompt);
            for await (const piece of result.getTextStream()) pieces.push(piece);
            await result.getResponse();
        });
        assert.ok(error instanceof Error);
        return pieces.join("");
    }

    async function leave(prompt, farewell) {
        const controller = new AbortController();
        const fetchOptions = { signal: controller.signal };
        let text;
        for await (const piece of call(prompt, {}, key, { fetchOptions }).getTextStream()) {
            text = piece;
            controller.abort();
            break;
        }
        await run(farewell, false);
        return text;
    }

    const status = async (name, apiKey) =>
        (await raised(() => call("hello", { model: name }, apiKey).getText())).statusCode;
    const say = async (prompt, stream) => (await run(prompt, stream)).text;
    return { say, useTools, typed, think, status, limited, broken, leave };
}

await play("@openrouter/sdk", player);
