"""The page: sections in the order in which a release meeting asks, in one file under a strict content policy."""

from __future__ import annotations

import base64
import hashlib
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
from readiness.report.text import visible

_TEMPLATES = Path(__file__).parent / "templates"


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
