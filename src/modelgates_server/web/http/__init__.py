"""The HTTP server: uvicorn, its connections and its transport."""
