// Looks models up through OpenAI's and OpenRouter's clients for JavaScript, as an application does.
// Arguments: address of the server, inference key. Prints JSON on success.

import assert from "node:assert/strict";

import { OpenRouter } from "@openrouter/sdk";
import OpenAI from "openai";

const [url, key] = process.argv.slice(2);

for (const path of ["/api/v1", "/v1"]) {
    const openai = new OpenAI({ baseURL: url + path, apiKey: key, maxRetries: 0 });
    const model = await openai.models.retrieve("sandbox/echo");
    assert.deepEqual([model.id, model.object], ["sandbox/echo", "model"]);
    await assert.rejects(openai.models.retrieve("sandbox/none"), { status: 404 });

    const openrouter = new OpenRouter({ serverURL: url + path, apiKey: key });
    const got = await openrouter.models.get({ author: "sandbox", slug: "echo" });
    assert.equal(got.data.id, "sandbox/echo");
    const listed = await openrouter.embeddings.listModels();
    const page = listed.result ?? listed;
    assert.ok(page.data.some((each) => each.id === "sandbox/embed"));
}
console.log(JSON.stringify({ found: true }));
