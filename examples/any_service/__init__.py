"""Stands in for any service in a rehearsal until its user names a local command of their own: answers every path."""
