"""Serves pages and documents: negotiates their form, puts in the address and caches them."""
