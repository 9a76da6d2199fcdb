// Reads credits and makes calls with what OpenAPI Generator wrote into the folder `generated`.
import {
  Configuration,
  CreditsApi,
  InferenceApi,
  PaymentRequiredResponseFromJSON,
  ResponseError,
} from "./generated";

async function main(): Promise<void> {
  // Their server is that of the document, as nothing else is said.
  const configuration = (key?: string) => new Configuration({ accessToken: key });
  const inference = new InferenceApi(configuration(process.env.INFERENCE_KEY));
  const chatRequest = {
    model: "sandbox/echo",
    messages: [{ role: "user", content: "Hello" }],
  };
  const credits = await new CreditsApi(
    configuration(process.env.MANAGEMENT_KEY),
  ).getCredits({ xModelGatesMetadata: "enabled" });
  const answer = await inference.createChatCompletion({ chatRequest });
  const refusal = await inference
    .createChatCompletion({ chatRequest, xModelGatesMaxCost: "0.000000000001" })
    .catch((error: unknown) => error);
  if (!(refusal instanceof ResponseError)) throw new Error("it was not refused");
  const { metadata } = PaymentRequiredResponseFromJSON(await refusal.response.json()).error;
  console.log(
    JSON.stringify({
      credits: credits.data.totalCredits,
      available: credits.modelgatesMetadata?.available,
      text: answer.choices?.[0].message?.content,
      cost: answer.usage.cost,
      reason: metadata.reason === "max_cost_exceeded" ? metadata.reason : undefined,
    }),
  );
}

void main();
