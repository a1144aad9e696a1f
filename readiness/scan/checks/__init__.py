"""Checks of our own: one file, one fault. ``readiness.scan.own_check`` says what a file holds; the folder is walked."""
