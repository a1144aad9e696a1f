"""The page: sections in the order in which a release meeting asks, in one file under a strict content policy."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from readiness.report.html import (
    control_section,
    decision_section,
    drill_section,
    finding_section,
    go_live_section,
    load_section,
    overview,
    people_section,
    provenance_section,
)
from readiness.report.html.blocks import Section
from readiness.report.html.content import Content
from readiness.report.markdown import headline

_TEMPLATES = Path(__file__).parent / "templates"
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


def as_html(content: Content) -> bytes:
    """Return the report of a bundle."""
    style, script = _asset("style.css"), _asset("script.js")
    page = (
        _environment()
        .get_template("page.html.j2")
        .render(
            title=f"{content.plan.service.name}: {headline(content.record)}",
            policy=_policy(style, script),
            style=Markup(style),
            script=Markup(script),
            head=overview.head(content),
            record=content.record,
            notices=content.notices,
            sections=sections(content),
        )
    )
    return visible(page).encode()


def sections(content: Content) -> tuple[Section, ...]:
    """Return all sections, in order."""
    return (
        overview.missing(content),
        *go_live_section.sections(content),
        decision_section.criteria(content),
        overview.gates(content),
        overview.threshold_section(content),
        load_section.section(content),
        drill_section.section(content),
        finding_section.section(content),
        people_section.runbooks(content),
        decision_section.checklist(content),
        decision_section.sign_off(content),
        decision_section.risks(content),
        people_section.waivers(content),
        control_section.section(content),
        provenance_section.environment(content),
        provenance_section.verifying(content),
    )


def visible(page: str) -> str:
    """Return a page in which no character hides or turns the text around it: those that would are spelled out.

    Names and messages come from elsewhere, and a right-to-left override in one of them can make a report read as its
    opposite. Letters that are written from right to left are no such characters, and stay.
    """
    return _INVISIBLE.sub(lambda match: f"⟨U+{ord(match.group()):04X}⟩", page)


def _policy(style: str, script: str) -> str:
    """Return a content policy that lets in our style and our script, by their hashes, and nothing else."""
    return (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def _asset(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
