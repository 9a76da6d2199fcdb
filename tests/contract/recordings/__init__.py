"""Providers' recorded responses, and what clients must get from each; see CONTRIBUTING.md."""
