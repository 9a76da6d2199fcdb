"""OpenAI's chat completions, completions and embeddings, with OpenRouter's additions."""
