// Reads credits and makes calls with the types that openapi-typescript wrote, by openapi-fetch.
import createClient from "openapi-fetch";
import type { components, paths } from "./generated";

type Shortfall = components["schemas"]["ShortfallMetadata"];

async function main(): Promise<void> {
  const baseUrl = process.env.API;
  const client = (key?: string) =>
    createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${key}` } });
  const inference = client(process.env.INFERENCE_KEY);
  const body = {
    model: "sandbox/echo",
    messages: [{ role: "user", content: "Hello" }],
  };
  const credits = await client(process.env.MANAGEMENT_KEY).GET("/credits", {
    params: { header: { "X-ModelGates-Metadata": "enabled" } },
  });
  const answer = await inference.POST("/chat/completions", { body });
  const refusal = await inference.POST("/chat/completions", {
    body,
    params: { header: { "X-ModelGates-Max-Cost": "0.000000000001" } },
  });
  // What has all defaults is asked for by its name alone.
  const key: components["schemas"]["CreateKeyRequest"] = { name: "nightly evaluation" };
  if (!key.name || typeof answer.data !== "object") throw new Error("a stream was not asked for");
  console.log(
    JSON.stringify({
      credits: credits.data?.data.total_credits,
      available: credits.data?.modelgates_metadata?.available,
      text: answer.data.choices?.[0].message?.content,
      cost: answer.data.usage.cost,
      reason: maxCostReason(refusal.error?.error.metadata as Shortfall),
    }),
  );
}

function maxCostReason(metadata: Shortfall): "max_cost_exceeded" | undefined {
  return metadata.reason === "max_cost_exceeded" ? metadata.reason : undefined;
}

void main();
