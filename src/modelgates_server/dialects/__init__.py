"""Wire formats of inference: pure translation between bytes and the values that the core knows."""
