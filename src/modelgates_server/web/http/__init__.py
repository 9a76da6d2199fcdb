"""The HTTP server itself: uvicorn, its connections and its transport."""
