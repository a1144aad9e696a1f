"""Imported by a task that runs, not by the file itself."""

LIST = "/prices"
