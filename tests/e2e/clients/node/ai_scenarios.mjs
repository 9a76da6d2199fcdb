// Plays the scenarios with the AI SDK and one of its providers: chat completions, Messages, Responses.
// The first argument names the provider's package.
import assert from "node:assert/strict";

import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { createOpenRouter } from "@openrouter/ai-sdk-provider";
import { APICallError, generateText, isStepCount, jsonSchema, Output, streamText, tool } from "ai";

import { CITY, play, raised, weather, WEATHER } from "./scenarios.mjs";

const PROVIDERS = {
    "@openrouter/ai-sdk-provider": {
        connect: (baseURL, apiKey) => createOpenRouter({ baseURL, apiKey }),
        costOf: ({ providerMetadata }) => providerMetadata.openrouter.usage.cost,
    },
    "@ai-sdk/openai-compatible": {
        connect: (baseURL, apiKey) =>
            createOpenAICompatible({
                name: "modelgates",
                baseURL,
                apiKey,
                includeUsage: true,
                supportsStructuredOutputs: true,
            }),
        costOf: ({ usage }) => usage.raw.cost,
    },
    "@ai-sdk/openai": {
        connect: (baseURL, apiKey) => createOpenAI({ baseURL, apiKey }),
        // Nothing is stored, so the whole conversation is sent with each step.
        more: { providerOptions: { openai: { store: false, reasoningSummary: "auto" } } },
        costOf: ({ usage }) => usage.raw.cost,
    },
    "@ai-sdk/anthropic": {
        connect: (baseURL, apiKey) => createAnthropic({ baseURL, apiKey }),
        costOf: ({ providerMetadata }) => providerMetadata.anthropic.usage.cost,
    },
};
const { description, parameters } = WEATHER;
const TOOLS = {
    weather: tool({
        description,
        inputSchema: jsonSchema(parameters),
        execute: async (city) => weather(city),
    }),
};
const [packageName, ...args] = process.argv.slice(2);
const { connect, costOf, more: always } = PROVIDERS[packageName];

function player({ baseURL, key, model, charged }) {
    // The result of a run, which ends when the model calls no more tools.
    async function run(prompt, stream, more = {}) {
        const options = { ...request(prompt), stopWhen: isStepCount(3), ...more };
        const failures = [];
        const onError = ({ error }) => failures.push(error);
        const result = stream ? streamText({ ...options, onError }) : await generateText(options);
        if (stream) await result.consumeStream();
        if (failures.length) throw failures[0];
        const steps = await result.steps;
        charged.push(...steps.map((step) => String(costOf(step))));
        return { steps, last: steps.at(-1), output: await result.output };
    }

    const request = (prompt, name = model, apiKey = key) => ({
        model: connect(baseURL, apiKey)(name),
        prompt,
        maxRetries: 0,
        ...always,
    });

    const say = async (prompt, stream) => (await run(prompt, stream)).last.text;

    async function useTools(prompt, stream) {
        const { steps, last } = await run(prompt, stream, { tools: TOOLS });
        const calls = steps[0].toolCalls;
        return {
            calls: calls.map(({ toolName, input }) => [toolName, input]),
            finish: steps.map(({ finishReason }) => finishReason.replace("-", "_")),
            text: last.text,
        };
    }

    async function typed(prompt, stream) {
        const output = Output.object({ schema: jsonSchema(CITY) });
        return (await run(prompt, stream, { output })).output;
    }

    async function think(prompt, stream) {
        const { last } = await run(prompt, stream);
        return [last.reasoningText, last.text];
    }

    async function status(name, apiKey) {
        const error = await raised(() => generateText(request("hello", name, apiKey)));
        assert.ok(APICallError.isInstance(error));
        return error.statusCode;
    }

    async function limited(prompt, stream) {
        const error = await raised(() => run(prompt, stream));
        assert.ok(APICallError.isInstance(error));
        return [error.statusCode, error.responseHeaders["retry-after"]];
    }

    async function broken(prompt) {
        const [pieces, failures] = [[], []];
        for await (const part of streamText({ ...request(prompt), onError: () => {} }).fullStream) {
            if (part.type === "text-delta") pieces.push(part.text);
            if (part.type === "error") failures.push(part.error);
        }
        assert.equal(failures.length, 1);
        return pieces.join("");
    }

    async function leave(prompt, farewell) {
        const controller = new AbortController();
        const { textStream } = streamText({ ...request(prompt), abortSignal: controller.signal });
        const pieces = [];
        for await (const piece of textStream) {
            pieces.push(piece);
            controller.abort();
        }
        await run(farewell, false);
        return pieces.join("");
    }

    return { say, useTools, typed, think, status, limited, broken, leave };
}

await play(packageName, player, args);
