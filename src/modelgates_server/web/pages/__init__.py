"""Pages and documents for readers: negotiated, rebased to their address and cached."""
