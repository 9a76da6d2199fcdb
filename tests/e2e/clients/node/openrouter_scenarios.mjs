// Plays the scenarios with OpenRouter's JavaScript client.
import assert from "node:assert/strict";

import { OpenRouter } from "@openrouter/sdk";
import * as errors from "@openrouter/sdk/models/errors";

import { CITY, play, raised, weather, WEATHER } from "./scenarios.mjs";

const FORMAT = { type: "json_schema", jsonSchema: { name: "City", strict: true, schema: CITY } };

function player({ baseURL, key, model, charged }) {
    const connect = (apiKey = key) =>
        // By default it retries for an hour when a server fails.
        new OpenRouter({ apiKey, serverURL: baseURL, retryConfig: { strategy: "none" } }).chat;
    const ask = (prompt, more = {}) => ({
        model,
        messages: [{ role: "user", content: prompt }],
        ...more,
    });
    const send = (chatRequest, apiKey, options) => connect(apiKey).send({ chatRequest }, options);

    async function complete(request, stream = false) {
        const response = await send({ ...request, stream });
        const chunks = [];
        if (stream) for await (const chunk of response) chunks.push(chunk);
        const { usage } = stream ? chunks.findLast((chunk) => chunk.usage) : response;
        charged.push(String(usage.cost));
        return stream ? joined(chunks.flatMap(({ choices }) => choices)) : response.choices[0];
    }

    // The loop of an agent, with one round of tools.
    async function useTools(prompt, stream) {
        const request = ask(prompt, { tools: [{ type: "function", function: WEATHER }] });
        const choice = await complete(request, stream);
        const calls = choice.message.toolCalls.map((call) => ({
            id: call.id,
            name: call.function.name,
            args: JSON.parse(call.function.arguments),
        }));
        request.messages.push(
            choice.message,
            ...calls.map(({ id, args }) => ({
                role: "tool",
                toolCallId: id,
                content: weather(args),
            })),
        );
        const last = await complete(request, stream);
        return {
            calls: calls.map(({ name, args }) => [name, args]),
            finish: [choice.finishReason, last.finishReason],
            text: last.message.content,
        };
    }

    async function think(prompt, stream) {
        const { message } = await complete(ask(prompt), stream);
        const details = message.reasoningDetails;
        assert.equal(details.map(({ text }) => text).join(""), message.reasoning);
        return [message.reasoning, message.content];
    }

    async function limited(prompt, stream) {
        const error = await raised(() => send(ask(prompt, { stream })));
        assert.ok(error instanceof errors.TooManyRequestsResponseError);
        return [error.statusCode, error.headers.get("retry-after")];
    }

    async function broken(prompt) {
        const chunks = [];
        for await (const chunk of await send(ask(prompt, { stream: true }))) chunks.push(chunk);
        const last = chunks.pop();
        assert.ok(last.error.code >= 500);
        assert.ok(chunks.every(({ error }) => !error));
        return joined(chunks.flatMap(({ choices }) => choices)).message.content;
    }

    async function leave(prompt, farewell) {
        const controller = new AbortController();
        const fetchOptions = { signal: controller.signal };
        const stream = await send(ask(prompt, { stream: true }), key, { fetchOptions });
        const reader = stream.getReader();
        let text;
        while (!text) text = (await reader.read()).value.choices[0].delta.content;
        controller.abort();
        await complete(ask(farewell));
        return text;
    }

    const status = async (name, apiKey) =>
        (await raised(() => send({ ...ask("hello"), model: name }, apiKey))).statusCode;
    const say = async (prompt, stream) => (await complete(ask(prompt), stream)).message.content;
    const typed = async (prompt, stream) => {
        const { message } = await complete(ask(prompt, { responseFormat: FORMAT }), stream);
        return JSON.parse(message.content);
    };
    return { say, useTools, typed, think, status, limited, broken, leave };
}

// The choice of a stream, as an application puts it together.
function joined(choices) {
    const message = { role: "assistant", content: "", reasoning: "", reasoningDetails: [] };
    const calls = [];
    for (const { delta } of choices) {
        message.content += delta.content ?? "";
        message.reasoning += delta.reasoning ?? "";
        message.reasoningDetails.push(...(delta.reasoningDetails ?? []));
        for (const { index, ...piece } of delta.toolCalls ?? []) {
            if (piece.id) calls[index] = piece;
            else calls[index].function.arguments += piece.function.arguments;
        }
    }
    if (calls.length) message.toolCalls = calls;
    const reasons = choices.map(({ finishReason }) => finishReason).filter(Boolean);
    assert.ok(reasons.length <= 1);
    return { message, finishReason: reasons[0] };
}

await play("@openrouter/sdk", player);
