"""The API reference: one page for each operation of our OpenAPI document."""
