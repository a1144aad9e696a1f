"""The report as one HTML file that needs nothing else: no network, no font, no picture beside it."""

from readiness.report.html.content import Content
from readiness.report.html.page import as_html

__all__ = ["Content", "as_html"]
