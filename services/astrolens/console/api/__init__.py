"""The REST API under `/api`: one module a kind of thing."""
