// Plays the scenarios with OpenAI's JavaScript client.
import assert from "node:assert/strict";

import OpenAI, { APIError, RateLimitError } from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

import { play, raised, weather, WEATHER } from "./scenarios.mjs";

const FORMAT = zodResponseFormat(z.object({ name: z.string(), people: z.int() }), "City");

function player({ baseURL, key, model, charged }) {
    const connect = (apiKey = key) =>
        new OpenAI({ apiKey, baseURL, maxRetries: 0 }).chat.completions;
    const ask = (prompt, more = {}) => ({
        model,
        messages: [{ role: "user", content: prompt }],
        ...more,
    });

    async function complete(request, stream = false) {
        const response = stream
            ? await connect().stream(request).finalChatCompletion()
            : await connect()[request.response_format ? "parse" : "create"](request);
        charged.push(String(response.usage.cost));
        return response.choices[0];
    }

    // The loop of an agent, with one round of tools.
    async function useTools(prompt, stream) {
        const request = ask(prompt, { tools: [{ type: "function", function: WEATHER }] });
        const choice = await complete(request, stream);
        const calls = choice.message.tool_calls.map((call) => ({
            id: call.id,
            name: call.function.name,
            args: JSON.parse(call.function.arguments),
        }));
        request.messages.push(
            choice.message,
            ...calls.map(({ id, args }) => ({
                role: "tool",
                tool_call_id: id,
                content: weather(args),
            })),
        );
        const last = await complete(request, stream);
        return {
            calls: calls.map(({ name, args }) => [name, args]),
            finish: [choice.finish_reason, last.finish_reason],
            text: last.message.content,
        };
    }

    async function think(prompt, stream) {
        if (stream) return thinkInStream(prompt);
        const { message } = await complete(ask(prompt));
        assert.deepEqual(
            message.reasoning_details.map(({ type, text }) => [type, text]),
            [["reasoning.text", message.reasoning]],
        );
        return [message.reasoning, message.content];
    }

    // The client's own helper keeps only the last piece of a field that it does not know.
    async function thinkInStream(prompt) {
        const [thoughts, details, texts] = [[], [], []];
        for await (const { choices, usage } of await connect().create(
            ask(prompt, { stream: true }),
        )) {
            if (usage) charged.push(String(usage.cost));
            for (const { delta } of choices) {
                thoughts.push(delta.reasoning ?? "");
                details.push(...(delta.reasoning_details ?? []));
                texts.push(delta.content ?? "");
            }
        }
        assert.equal(details.map(({ text }) => text).join(""), thoughts.join(""));
        return [thoughts.join(""), texts.join("")];
    }

    async function limited(prompt, stream) {
        const error = await raised(() => connect().create(ask(prompt, { stream })));
        assert.ok(error instanceof RateLimitError);
        return [error.status, error.headers.get("retry-after")];
    }

    async function broken(prompt) {
        const pieces = [];
        const error = await raised(async () => {
            for await (const chunk of await connect().create(ask(prompt, { stream: true }))) {
                pieces.push(...chunk.choices.map(({ delta }) => delta.content ?? ""));
            }
        });
        assert.ok(error instanceof APIError);
        return pieces.join("");
    }

    async function leave(prompt, farewell) {
        const stream = await connect().create(ask(prompt, { stream: true }));
        let text;
        for await (const { choices } of stream) {
            text = choices[0].delta.content;
            if (text) break; // aborts the request
        }
        await complete(ask(farewell));
        return text;
    }

    const status = async (name, apiKey) =>
        (await raised(() => connect(apiKey).create({ ...ask("hello"), model: name }))).status;
    const say = async (prompt, stream) => (await complete(ask(prompt), stream)).message.content;
    const typed = async (prompt, stream) => {
        const { message } = await complete(ask(prompt, { response_format: FORMAT }), stream);
        return message.parsed;
    };
    return { say, useTools, typed, think, status, limited, broken, leave };
}

await play("openai", player);
