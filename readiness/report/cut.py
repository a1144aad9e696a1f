"""A Markdown report that has to fit somewhere: whole lines from its beginning, and a note of the rest."""

from __future__ import annotations


def cut(text: str, most_bytes: int, note: str) -> str:
    """Return *text*, or as many of its first lines as fit, and the note.

    Args:
        text: Markdown, the important first.
        most_bytes: The limit, in UTF-8.
        note: One sentence that stands where the text was cut, with where the rest is.
    """
    if len(text.encode()) <= most_bytes:
        return text
    ending = f"\n\n> **Cut.** {note}\n"
    room = most_bytes - len(ending.encode())
    kept: list[str] = []
    for line in text.splitlines(keepends=True):
        room -= len(line.encode())
        if room < 0:
            break
        kept.append(line)
    return ("".join(kept).rstrip("\n") + ending) if kept or len(ending.encode()) <= most_bytes else ""
