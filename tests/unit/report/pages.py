"""Read a page as a reader's program does: its tables, texts and tags."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "br", "wbr", "link", "img", "input", "hr", "line", "rect", "path", "circle", "polygon"}


@dataclass
class Cell:
    text: str = ""
    values: list[str] = field(default_factory=list)


@dataclass
class TableRead:
    caption: str = ""
    rows: list[list[Cell]] = field(default_factory=list)


class Page(HTMLParser):
    """A page that was read.

    Attributes:
        tables: In order.
        tags: (name, attributes) of every element, in order.
        unclosed: Elements that were never closed, or closed in the wrong order.
        text: All that is to be read, scripts and styles left out.
    """

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tables: list[TableRead] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.unclosed: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        self.unclosed += self._open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "table":
            self.tables.append(TableRead())
        elif tag == "tr" and self.tables:
            self.tables[-1].rows.append([])
        elif tag in ("td", "th"):
            self.tables[-1].rows[-1].append(Cell())
        elif tag == "data" and self._in_cell():
            self.tables[-1].rows[-1][-1].values.append(dict(attrs)["value"] or "")

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        if not self._open or self._open[-1] != tag:
            self.unclosed.append(f"</{tag}> inside {self._open[-1:]}")
            return
        self._open.pop()

    def handle_data(self, data):
        if "script" in self._open or "style" in self._open:
            return
        self.text += data
        if "caption" in self._open:
            self.tables[-1].caption += data
        elif self._in_cell():
            self.tables[-1].rows[-1][-1].text += data

    def _in_cell(self) -> bool:
        return any(tag in ("td", "th") for tag in self._open)

    def table(self, caption: str) -> TableRead:
        (found,) = [table for table in self.tables if table.caption.startswith(caption)]
        return found

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]
