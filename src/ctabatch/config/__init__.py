"""Configuration: pydantic models, one module a section; the source of schema and documentation."""
