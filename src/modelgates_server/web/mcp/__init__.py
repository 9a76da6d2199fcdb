"""What assistants connect to: the documentation, and an account, by the Model Context Protocol."""
