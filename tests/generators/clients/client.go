// Reads credits and makes calls with what OpenAPI Generator wrote.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"log"
	"os"

	openapi "modelgates.example/test/generated"
)

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func withKey(variable string) context.Context {
	return context.WithValue(context.Background(), openapi.ContextAccessToken, os.Getenv(variable))
}

func main() {
	// Its server is that of the document, as nothing else is said.
	client := openapi.NewAPIClient(openapi.NewConfiguration())
	model, role, hello := "sandbox/echo", "user", "Hello"
	content := openapi.StringAsChatRequestMessagesInnerContent(&hello)
	message := openapi.ChatRequestMessagesInner{Role: &role}
	message.SetContent(content)
	request := openapi.NewChatRequest([]openapi.ChatRequestMessagesInner{message})
	request.Model = &model

	credits, _, err := client.CreditsAPI.GetCredits(withKey("MANAGEMENT_KEY")).
		XModelGatesMetadata("enabled").Execute()
	credits = must(credits, err)
	call := client.InferenceAPI.CreateChatCompletion(withKey("INFERENCE_KEY")).ChatRequest(*request)
	answer, _, err := call.Execute()
	answer = must(answer, err)
	_, _, err = call.XModelGatesMaxCost("0.000000000001").Execute()
	var refusal *openapi.GenericOpenAPIError
	if !errors.As(err, &refusal) {
		log.Fatal("it was not refused: ", err)
	}
	metadata := refusal.Model().(openapi.PaymentRequiredResponse).Error.Metadata.MaxCostMetadata

	must(0, json.NewEncoder(os.Stdout).Encode(map[string]any{
		"credits":   credits.Data.TotalCredits,
		"available": credits.ModelgatesMetadata.Available,
		"text":      answer.Choices[0].Message.GetContent(),
		"cost":      answer.Usage.Cost,
		"reason":    metadata.Reason,
	}))
}
