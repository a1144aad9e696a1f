"""A record, told to people: each module renders one form of it."""

from readiness.report.markdown import markdown

__all__ = ["markdown"]
