// Calls models through the AI SDK with OpenRouter's provider, as an application does.
// Arguments: base URL, inference key. Prints JSON on success: the provider's version, and the cost
// of every call as the shortest text of the client's number.
import assert from "node:assert/strict";
import { createRequire } from "node:module";

import { createOpenRouter } from "@openrouter/ai-sdk-provider";
import { APICallError, embedMany, generateText, jsonSchema, Output, streamText, tool } from "ai";

const MODEL = "sandbox/echo";
const UNKNOWN_KEY = `sk-mg-v1-${"0".repeat(49)}`;
const TEXT = "The quick brown fox jumps over a lazy dog";
const PIXEL =
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9Q" +
    "DwADhgGAWjR9awAAAABJRU5ErkJggg==";
const CITY = jsonSchema({
    type: "object",
    properties: { name: { type: "string" }, people: { type: "integer" } },
    required: ["name", "people"],
    additionalProperties: false,
});
const TOOLS = { weather: tool({ description: "The weather of a city", inputSchema: CITY }) };
const generations = [];

function connect(baseURL, apiKey) {
    return createOpenRouter({ baseURL, apiKey, appName: "App", appUrl: "https://app.example" });
}

function note(id, { provider, usage }) {
    assert.ok(provider && id.startsWith("gen-"));
    assert.equal(typeof usage.cost, "number");
    generations.push({ id, cost: String(usage.cost) });
}

function assertCounts(usage) {
    assert.ok(usage.inputTokens > 0 && usage.outputTokens > 0);
    assert.equal(usage.totalTokens, usage.inputTokens + usage.outputTokens);
}

function textOf(result) {
    assert.deepEqual([result.finishReason, result.response.modelId], ["stop", MODEL]);
    assert.deepEqual(result.toolCalls, []);
    assertCounts(result.usage);
    note(result.response.id, result.providerMetadata.openrouter);
    return result.text;
}

async function sendPlain(model) {
    const image = { type: "file", mediaType: "image/png", data: PIXEL };
    const messages = [{ role: "user", content: [{ type: "text", text: TEXT }, image] }];
    assert.equal(textOf(await generateText({ model, prompt: TEXT })), TEXT);
    assert.equal(textOf(await generateText({ model, prompt: TEXT, tools: TOOLS })), TEXT);
    assert.equal(textOf(await generateText({ model, messages })), TEXT);
    const prompt = '{"name": "Bern", "people": 137000}';
    const typed = await generateText({ model, prompt, output: Output.object({ schema: CITY }) });
    assert.deepEqual(typed.output, { name: "Bern", people: 137000 });
    assert.equal(textOf(typed), prompt);
}

async function sendStreams(model) {
    for (const more of [{}, { tools: TOOLS }]) {
        const failures = [];
        const onError = ({ error }) => failures.push(error);
        const result = streamText({ model, prompt: TEXT, onError, ...more });
        const pieces = [];
        for await (const piece of result.textStream) pieces.push(piece);
        assert.deepEqual(failures, []);
        assert.ok(pieces.length > 1);
        assert.equal(pieces.join(""), TEXT);
        assert.equal(await result.finishReason, "stop");
        assertCounts(await result.usage);
        note((await result.response).id, (await result.providerMetadata).openrouter);
    }
}

async function embed(model) {
    const result = await embedMany({ model, values: [TEXT, "another"] });
    assert.equal(result.embeddings.length, 2);
    assert.ok(result.usage.tokens > 0);
    note(result.responses[0].body.id, result.providerMetadata.openrouter);
}

async function checkErrors(baseURL, key) {
    const cases = [
        [connect(baseURL, key)("acme/unknown"), 400, "acme/unknown is not a valid model ID"],
        [connect(baseURL, UNKNOWN_KEY)(MODEL), 401, "User not found."],
    ];
    for (const [model, status, message] of cases) {
        const check = (error) => {
            assert.ok(APICallError.isInstance(error));
            assert.deepEqual(
                [error.statusCode, error.message, error.isRetryable],
                [status, message, false],
            );
            return true;
        };
        await assert.rejects(generateText({ model, prompt: TEXT }), check);
        const failures = [];
        await streamText({
            model,
            prompt: TEXT,
            onError: ({ error }) => failures.push(error),
        }).consumeStream();
        check(failures[0]);
    }
}

const [baseURL, key] = process.argv.slice(2);
const openrouter = connect(baseURL, key);
await sendPlain(openrouter(MODEL));
await sendStreams(openrouter(MODEL));
await embed(openrouter.textEmbeddingModel("sandbox/embed"));
await checkErrors(baseURL, key);
const { version } = createRequire(import.meta.url)("@openrouter/ai-sdk-provider/package.json");
console.log(JSON.stringify({ version, generations }));
