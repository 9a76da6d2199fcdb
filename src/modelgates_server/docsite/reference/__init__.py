"""The API reference: one page for each operation of the OpenAPI document."""
