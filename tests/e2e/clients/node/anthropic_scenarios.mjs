// Plays the scenarios with Anthropic's JavaScript client. With `beta` as first argument, it calls
// `client.beta.messages`, as agents do.
import assert from "node:assert/strict";

import Anthropic, { APIError, PaymentRequiredError, RateLimitError } from "@anthropic-ai/sdk";
import { betaZodOutputFormat } from "@anthropic-ai/sdk/helpers/beta/zod";
import { zodOutputFormat } from "@anthropic-ai/sdk/helpers/zod";
import { z } from "zod";

import { play, raised, weather, WEATHER } from "./scenarios.mjs";

const args = process.argv.slice(2);
const isBeta = args[0] === "beta";
if (isBeta) args.shift();
const format = isBeta ? betaZodOutputFormat : zodOutputFormat;
const FORMAT = format(z.object({ name: z.string(), people: z.int() }));
const BETAS = isBeta ? { betas: ["interleaved-thinking-2025-05-14"] } : {};
const FINISH = { end_turn: "stop", tool_use: "tool_calls" };
const { name, description, parameters } = WEATHER;
const TOOLS = [{ name, description, input_schema: parameters }];

function player({ baseURL, key, model, charged }) {
    // The client appends the version itself.
    const options = { baseURL: baseURL.replace(/\/v1$/, ""), maxRetries: 0 };
    const connect = (apiKey = key) => {
        const client = new Anthropic({ apiKey, ...options });
        return isBeta ? client.beta.messages : client.messages;
    };
    const ask = (prompt, more = {}) => ({
        model,
        max_tokens: 50,
        messages: [{ role: "user", content: prompt }],
        ...BETAS,
        ...more,
    });

    async function complete(request, stream = false) {
        if (stream) return completeStream(request);
        const response = await connect()[request.output_config ? "parse" : "create"](request);
        charged.push(String(response.usage.cost));
        return response;
    }

    async function completeStream(request) {
        const stream = connect().stream(request);
        // The client's own message keeps only the fields of usage that it knows.
        const costs = [];
        stream.on("streamEvent", (event) => {
            if (event.type === "message_delta") costs.push(event.usage.cost);
        });
        const message = await stream.finalMessage();
        charged.push(String(costs.at(-1)));
        return message;
    }

    async function say(prompt, stream) {
        const { input_tokens } = await connect().countTokens({ model, messages: ask(prompt).messages });
        assert.ok(input_tokens > 0);
        return textOf(await complete(ask(prompt), stream));
    }

    // The loop of an agent, with one round of tools.
    async function useTools(prompt, stream) {
        const request = ask(prompt, { tools: TOOLS });
        const first = await complete(request, stream);
        const calls = first.content.filter(({ type }) => type === "tool_use");
        const results = calls.map(({ id, input }) => ({
            type: "tool_result",
            tool_use_id: id,
            content: weather(input),
        }));
        request.messages.push(
            { role: "assistant", content: first.content },
            { role: "user", content: results },
        );
        const last = await complete(request, stream);
        return {
            calls: calls.map(({ name, input }) => [name, input]),
            finish: [first, last].map(({ stop_reason }) => FINISH[stop_reason]),
            text: textOf(last),
        };
    }

    async function think(prompt, stream) {
        const thinking = { type: "enabled", budget_tokens: 1024 };
        const message = await complete(ask(prompt, { thinking, max_tokens: 1100 }), stream);
        const thoughts = message.content.filter(({ type }) => type === "thinking");
        return [thoughts.map(({ thinking }) => thinking).join(""), textOf(message)];
    }

    async function typed(prompt, stream) {
        const request = ask(prompt, { output_config: { format: FORMAT } });
        return (await complete(request, stream)).parsed_output;
    }

    async function limited(prompt, stream) {
        const error = await raised(() => connect().create(ask(prompt, { stream })));
        assert.ok(error instanceof RateLimitError);
        return [error.status, error.headers.get("retry-after")];
    }

    async function broken(prompt) {
        const pieces = [];
        const error = await raised(async () => {
            for await (const event of await connect().create(ask(prompt, { stream: true })))
                if (event.type === "content_block_delta") pieces.push(event.delta.text);
        });
        assert.ok(error instanceof APIError);
        return pieces.join("");
    }

    async function leave(prompt, farewell) {
        const stream = await connect().create(ask(prompt, { stream: true }));
        let text;
        for await (const event of stream) {
            if (event.type !== "content_block_delta") continue;
            text = event.delta.text;
            break; // aborts the request
        }
        await complete(ask(farewell));
        return text;
    }

    async function status(name, apiKey) {
        const error = await raised(() => connect(apiKey).create({ ...ask("hello"), model: name }));
        assert.equal(error instanceof PaymentRequiredError, error.status === 402);
        return error.status;
    }

    return { say, useTools, typed, think, status, limited, broken, leave };
}

const textOf = ({ content }) =>
    content.map((block) => (block.type === "text" ? block.text : "")).join("");

await play("@anthropic-ai/sdk", player, args);
