"""A small, honest stand-in for an LLM API proxy; see its README."""
