import com.google.gson.Gson;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import org.openapitools.client.ApiClient;
import org.openapitools.client.ApiException;
import org.openapitools.client.api.CreditsApi;
import org.openapitools.client.api.InferenceApi;
import org.openapitools.client.auth.HttpBearerAuth;
import org.openapitools.client.model.ChatAnswer;
import org.openapitools.client.model.ChatRequest;
import org.openapitools.client.model.ChatRequestMessagesInner;
import org.openapitools.client.model.ChatRequestMessagesInnerContent;
import org.openapitools.client.model.CreditsGetCreditsResponse200;
import org.openapitools.client.model.MaxCostMetadata;
import org.openapitools.client.model.PaymentRequiredResponse;
import org.openapitools.client.model.PaymentRequiredResponseError;

/** Reads credits and makes calls with what OpenAPI Generator wrote. */
public class Client {
    /** Its server is that of the document, as nothing else is said. */
    private static ApiClient client(String variable) {
        ApiClient client = new ApiClient();
        // `setBearerToken` would set the token of /metrics, which is another one.
        HttpBearerAuth key = (HttpBearerAuth) client.getAuthentication("apiKey");
        key.setBearerToken(System.getenv(variable));
        return client;
    }

    public static void main(String[] arguments) throws Exception {
        InferenceApi inference = new InferenceApi(client("INFERENCE_KEY"));
        ChatRequestMessagesInner message = new ChatRequestMessagesInner().role("user")
            .content(new ChatRequestMessagesInnerContent("Hello"));
        ChatRequest request = new ChatRequest().model("sandbox/echo").messages(Collections.singletonList(message));
        CreditsGetCreditsResponse200 credits = new CreditsApi(client("MANAGEMENT_KEY")).getCredits("enabled");
        ChatAnswer answer = inference.createChatCompletion(
            request, null, null, null, null, null, null, null);
        String reason;
        try {
            inference.createChatCompletion(
                request, null, "0.000000000001", null, null, null, null, null);
            throw new IllegalStateException("it was not refused");
        } catch (ApiException refusal) {
            PaymentRequiredResponseError error = PaymentRequiredResponse.fromJson(refusal.getResponseBody()).getError();
            MaxCostMetadata metadata = error.getMetadata().getMaxCostMetadata();
            reason = metadata.getReason().getValue();
        }
        Map<String, Object> told = new LinkedHashMap<>();
        told.put("credits", credits.getData().getTotalCredits());
        told.put("available", credits.getModelgatesMetadata().getAvailable());
        told.put("text", answer.getChoices().get(0).getMessage().getContent());
        told.put("cost", answer.getUsage().getCost());
        told.put("reason", reason);
        System.out.println(new Gson().toJson(told));
    }
}
