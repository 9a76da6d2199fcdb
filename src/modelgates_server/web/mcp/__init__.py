"""The documentation and an account for assistants, over the Model Context Protocol (MCP)."""
