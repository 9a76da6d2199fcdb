// Calls models through OpenRouter's JavaScript client, as an application does.
// Arguments: base URL, inference key. Prints JSON on success: the client's version, and the cost of
// every call as the shortest text of the client's number.
import assert from "node:assert/strict";
import { createRequire } from "node:module";

import { OpenRouter } from "@openrouter/sdk";
import * as errors from "@openrouter/sdk/models/errors";

const MODEL = "sandbox/echo";
const UNKNOWN_KEY = `sk-mg-v1-${"0".repeat(49)}`;
const TEXT = "The quick brown fox jumps over a lazy dog";
const PIXEL =
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9Q" +
    "DwADhgGAWjR9awAAAABJRU5ErkJggg==";
const WEATHER = {
    type: "function",
    function: {
        name: "weather",
        parameters: { type: "object", properties: { city: { type: "string" } } },
    },
};
const generations = [];

function connect(serverURL, apiKey) {
    // By default it retries for an hour when a server fails.
    return new OpenRouter({ apiKey, serverURL, retryConfig: { strategy: "none" } });
}

function request(content, more = {}) {
    return { chatRequest: { model: MODEL, messages: [{ role: "user", content }], ...more } };
}

function note(id, usage) {
    assert.equal(usage.totalTokens, usage.promptTokens + usage.completionTokens);
    assert.ok(usage.promptTokens > 0 && usage.completionTokens > 0);
    assert.equal(usage.isByok, false);
    generations.push({ id, cost: String(usage.cost) });
}

function textOf(response) {
    assert.deepEqual([response.object, response.model], ["chat.completion", MODEL]);
    const [{ message, finishReason }] = response.choices;
    assert.deepEqual(
        [message.role, finishReason, message.toolCalls],
        ["assistant", "stop", undefined],
    );
    note(response.id, response.usage);
    return message.content;
}

// The text of a stream; usage comes once, in the last chunk, next to an empty delta.
async function read(stream) {
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    const last = chunks.pop();
    assert.ok(chunks.every((chunk) => chunk.id === last.id && !chunk.usage && !chunk.error));
    assert.ok(last.choices.every((choice) => !choice.delta.content && !choice.finishReason));
    note(last.id, last.usage);
    const choices = chunks.flatMap((chunk) => chunk.choices);
    assert.deepEqual(choices.map((choice) => choice.finishReason).filter(Boolean), ["stop"]);
    return choices.map((choice) => choice.delta.content ?? "").join("");
}

async function sendPlain({ chat }) {
    const text = '{"name": "Bern"}';
    const image = { type: "image_url", imageUrl: { url: PIXEL } };
    assert.equal(textOf(await chat.send(request(TEXT))), TEXT);
    assert.equal(
        textOf(await chat.send(request(TEXT, { tools: [WEATHER], toolChoice: "auto" }))),
        TEXT,
    );
    assert.equal(
        textOf(await chat.send(request(text, { responseFormat: { type: "json_object" } }))),
        text,
    );
    assert.equal(textOf(await chat.send(request([{ type: "text", text: TEXT }, image]))), TEXT);
    assert.equal(
        textOf(await chat.send(request(TEXT, { temperature: 0, seed: 7, user: "someone" }))),
        TEXT,
    );
}

async function sendStreams({ chat }) {
    for (const more of [{}, { streamOptions: { includeUsage: true } }, { tools: [WEATHER] }]) {
        assert.equal(await read(await chat.send(request(TEXT, { stream: true, ...more }))), TEXT);
    }
}

async function embed(client) {
    const response = await client.embeddings.generate({
        requestBody: { model: "sandbox/embed", input: [TEXT, "another"] },
    });
    assert.deepEqual(
        response.data.map((row) => row.index),
        [0, 1],
    );
    assert.notDeepEqual(response.data[0].embedding, response.data[1].embedding);
    assert.ok(response.usage.promptTokens > 0);
    generations.push({ id: response.id, cost: String(response.usage.cost) });
}

// Lists models in pages of one, endpoints and providers.
async function readCatalog(client, bearer) {
    const ids = [];
    for await (const page of await client.models.list({ limit: 1, outputModalities: "all" })) {
        ids.push(...page.result.data.map((row) => row.id));
    }
    assert.ok(ids.includes(MODEL) && ids.includes("sandbox/embed"));
    assert.equal((await client.models.count({ outputModalities: "all" })).data.count, ids.length);
    const mine = await client.models.listForUser({ bearer });
    assert.ok(mine.result.data.some((row) => row.id === MODEL));
    const { data } = await client.endpoints.list({ author: "sandbox", slug: "echo" });
    assert.deepEqual([data.id, data.endpoints[0].modelId], [MODEL, MODEL]);
    const providers = await client.providers.list();
    assert.ok(providers.data.some((row) => row.slug === "sandbox"));
}

// Checks that the generation of every call exists already and has the same cost.
async function readGenerations(client) {
    for (const { id, cost } of generations) {
        const { data } = await client.generations.getGeneration({ id });
        assert.deepEqual([String(data.totalCost), String(data.usage)], [cost, cost]);
    }
}

async function checkErrors(client, serverURL) {
    for (const stream of [false, true]) {
        await assert.rejects(
            client.chat.send(request(TEXT, { model: "acme/unknown", stream })),
            (error) => {
                assert.ok(error instanceof errors.BadRequestResponseError);
                assert.equal(error.error.message, "acme/unknown is not a valid model ID");
                assert.equal(error.error.code, 400);
                return error.userId.startsWith("user_");
            },
        );
    }
    const unknown = { id: "gen-1795439520-unknown" };
    await assert.rejects(client.generations.getGeneration(unknown), errors.NotFoundResponseError);
    await assert.rejects(connect(serverURL, UNKNOWN_KEY).chat.send(request(TEXT)), (error) => {
        assert.ok(error instanceof errors.UnauthorizedResponseError);
        return error.error.message === "User not found.";
    });
}

const [serverURL, key] = process.argv.slice(2);
const client = connect(serverURL, key);
await readCatalog(client, key);
await sendPlain(client);
await sendStreams(client);
await embed(client);
await readGenerations(client);
await checkErrors(client, serverURL);
const { version } = createRequire(import.meta.url)("@openrouter/sdk/package.json");
console.log(JSON.stringify({ version, generations }));
