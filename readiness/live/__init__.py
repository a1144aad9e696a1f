"""The deployed clone, read back through AWS's own APIs and asked what the templates were asked."""
