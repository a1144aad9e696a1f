"""What the report rests on: where it was made, from what, how long it took, and how to check it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from readiness import evidence
from readiness.model import Environment
from readiness.report import registered
from readiness.report.html import blocks
from readiness.report.html.blocks import Facts, Heading, Items, Section, Table, Unobserved
from readiness.report.html.content import Content


def environment(content: Content) -> Section:
    """Return where the clone stood, what was judged, and with which versions."""
    record = content.record
    candidate = record.candidate
    where = (
        "AWS"
        if record.environment is Environment.AWS
        else f"embedded AWS (emulated), waiting times shortened {record.time_scale:g}-fold"
    )
    digests = [
        ("plan", record.plan_digest),
        ("waivers", record.waivers_digest),
        *candidate.template_digests.items(),
    ]
    changed = ", with uncommitted changes" if candidate.dirty else ""
    return Section(
        id="environment",
        title="Candidate and environment",
        blocks=[
            Facts(
                long=True,
                rows=[
                    ("Commit", blocks.lines(blocks.code(candidate.commit), changed.removeprefix(", "))),
                    ("Image", blocks.code(candidate.image)),
                    ("Environment", where),
                    ("Region", content.plan.aws.region),
                    ("Run", blocks.code(record.run_id)),
                    ("Began", f"{record.started_at:%Y-%m-%d %H:%M:%S} UTC"),
                    ("Decided", f"{record.decided_at:%Y-%m-%d %H:%M:%S} UTC"),
                    ("Harness", f"readiness {record.harness_version}"),
                ],
            ),
            Table(
                caption="Digests of what was frozen before the run, and of what was judged",
                head=("what", "SHA-256"),
                rows=[(name, blocks.code(digest)) for name, digest in digests],
                look="digests",
            ),
            _registered(content),
            Heading(title="Where the time went", id="timings"),
            *_timings(content),
        ],
    )


def _registered(content: Content) -> Table | Unobserved:
    rows = registered.rows(content.record.registration)
    if not rows:
        return Unobserved(why="Nothing shows that the plan was fixed before the run.")
    return Table(
        caption="What decides the run, and whether it was fixed in a commit before it",
        head=("file", "how it stood"),
        rows=[(blocks.code(path), how) for path, how in rows],
        look="digests",
    )


def _timings(content: Content) -> Sequence[Any]:
    spans = content.record.spans
    if not spans:
        return [Unobserved(why="The record holds no timings.")]
    total = (content.record.decided_at - content.record.started_at).total_seconds()
    longest = max(span.seconds for span in spans) or 1.0
    rows: list[Sequence[str | Markup]] = [
        (span.name, blocks.data(span.seconds, f"{span.seconds:.1f} s"), _bar(span.seconds / longest)) for span in spans
    ]
    rows.append(("the whole run", blocks.data(total, f"{total:.1f} s"), blocks.nothing()))
    return [
        Table(
            caption="Parts of the run",
            head=("part", "took", "beside the longest"),
            rows=rows,
            numeric=frozenset({1}),
            look="times",
        )
    ]


def _bar(share: float) -> Markup:
    return Markup(
        '<svg class="share" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
        '<rect x="0" y="0" width="{}" height="8"/></svg>'
    ).format(f"{max(0.5, share * 100):.1f}")


def verifying(content: Content) -> Section:
    """Return how a reader checks what this report says."""
    record = content.record
    items = [
        Markup(
            "Every file of the bundle is named with its SHA-256 in <code>{}</code>. "
            "<code>readiness verify BUNDLE</code> hashes them again, judges every observation again, decides again, "
            "and compares, offline."
        ).format(evidence.MANIFEST),
        Markup(
            "<code>readiness report BUNDLE</code> makes this page again from the evidence. The page decides nothing: "
            "the decision is in <code>{}</code>."
        ).format(evidence.RECORD),
        Markup(
            "To follow a number: its row names the gate, the gate's row names its observation, and the observation "
            "names the artifacts that it sums up."
        ),
        Markup("The plan was frozen before the run as <code>{}</code>, with the digest above.").format(evidence.PLAN),
    ]
    said = f"readiness {record.harness_version} made this report; verify with the same version."
    return Section(id="verify", title="How to verify", blocks=[Items(items=[*items, said])])
