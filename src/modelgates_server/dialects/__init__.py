"""Wire formats of inference, pure: bytes become the values that the core knows, and back."""
