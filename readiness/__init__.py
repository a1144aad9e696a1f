"""Decides, on evidence, whether a system on AWS may go live."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("readiness")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+source"
