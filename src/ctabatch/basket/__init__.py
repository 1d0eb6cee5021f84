"""Baskets: lists of files that a person keeps between a search and an analysis or a download."""
