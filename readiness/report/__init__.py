"""A record, told to people: each module renders one form of it."""

from readiness.report.markdown import headline, markdown

__all__ = ["headline", "markdown"]
