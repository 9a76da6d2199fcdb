// Reads credits and makes calls with what @hey-api/openapi-ts wrote into the folder `generated`.
import { type CreateChatCompletionError, createChatCompletion, getCredits } from "./generated";

async function main(): Promise<void> {
  // Their server is that of the document, as nothing else is said.
  const auth = process.env.INFERENCE_KEY;
  const body = {
    model: "sandbox/echo",
    messages: [{ role: "user", content: "Hello" }],
  };
  const credits = await getCredits({
    auth: process.env.MANAGEMENT_KEY,
    headers: { "X-ModelGates-Metadata": "enabled" },
    throwOnError: true,
  });
  const answer = await createChatCompletion({ auth, body, throwOnError: true });
  const refusal = await createChatCompletion({
    auth,
    body,
    headers: { "X-ModelGates-Max-Cost": "0.000000000001" },
  });
  if (typeof answer.data === "string") throw new Error("a stream was not asked for");
  console.log(
    JSON.stringify({
      credits: credits.data.data.total_credits,
      available: credits.data.modelgates_metadata?.available,
      text: answer.data.choices?.[0].message?.content,
      cost: answer.data.usage.cost,
      reason: maxCostReason(refusal.error),
    }),
  );
}

function maxCostReason(refusal?: CreateChatCompletionError): "max_cost_exceeded" | undefined {
  const metadata = refusal?.error.metadata;
  if (metadata && "reason" in metadata && metadata.reason === "max_cost_exceeded") {
    return metadata.reason;
  }
  return undefined;
}

void main();
