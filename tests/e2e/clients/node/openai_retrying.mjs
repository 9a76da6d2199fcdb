// Calls a slow model with OpenAI's JavaScript client, which gives up after one second and retries.
// Arguments: base URL, inference key, model, and an `Idempotency-Key` or an empty text. Prints JSON:
// the client's version, and the texts of a plain response and of a stream.
import OpenAI from "openai";
import { VERSION as version } from "openai/version";

const [baseURL, apiKey, model, idempotencyKey] = process.argv.slice(2);
const client = new OpenAI({ apiKey, baseURL, timeout: 1000, maxRetries: 20 });

async function call(stream) {
    const request = { model, messages: [{ role: "user", content: "Hello" }], stream };
    const headers = idempotencyKey ? { "Idempotency-Key": `${idempotencyKey}-${stream}` } : {};
    const response = await client.chat.completions.create(request, { headers });
    if (!stream) return response.choices[0].message.content;
    let text = "";
    for await (const chunk of response) text += chunk.choices[0]?.delta?.content ?? "";
    return text;
}

const [plain, stream] = await Promise.all([call(false), call(true)]);
console.log(JSON.stringify({ version, plain, stream }));
