"""The coverage matrix: nothing known is never Met, and nothing that goes wrong makes a criterion look better."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from readiness.coverage import Facts, coverage, shortfalls, together
from readiness.model import (
    ChecklistItem,
    Coverage,
    Criterion,
    Disposition,
    Environment,
    FiledSignature,
    Gap,
    ItemStanding,
    ItemState,
    Measurement,
    Severity,
    Signature,
    SignatureStanding,
)
from tests.unit.samples import T0, a_finding, a_judgement, a_result, a_waiver

RANKS = list(Coverage)
FULL = Criterion(
    id="all",
    type="acceptance",
    text="Everything",
    gates=("numbers", "words"),
    not_waived=(Severity.CRITICAL,),
    figures=("numbers/p95",),
    artifacts=("report.md",),
    checklist=("*",),
    signed=("release",),
    decided=True,
    go_live=True,
)


def an_item(state=ItemState.DONE, item_id="told"):
    return ItemStanding(item=ChecklistItem(id=item_id, text="x"), state=state, why="because", evidence="sign-off/t")


def a_signature(role="release", decision="go", why=""):
    signature = Signature(role=role, name="Ada", decision=decision, at=T0, plan="sha256:1")
    return SignatureStanding(filed=FiledSignature(signature=signature, path=f"sign-off/{role}"), why=why)


def figures(*names, samples=10):
    return tuple(Measurement(name=name, value=1.0, unit="ms", samples=samples) for name in names)


def facts(**changes):
    """Return facts under which everything is met."""
    return Facts(
        **{
            "results": (a_result("numbers", a_judgement(measurements=figures("p95"))), a_result("words")),
            "required": ("numbers", "words"),
            "environment": Environment.AWS,
            "items": (an_item(),),
            "roles": ("release", "security"),
            "signatures": (a_signature(), a_signature("security")),
            "files": frozenset({"report.md"}),
            "go_live": a_result("go-live"),
            "go_live_path": "go-live/result.json",
        }
        | changes
    )


def status(criterion=FULL, **changes):
    (row,) = coverage([criterion], facts(**changes))
    return row.status


def criterion(**proofs):
    return Criterion(id="one", type="acceptance", text="One thing", **proofs)


# --- each kind of proof ----------------------------------------------------------------------------------------------


def test_everything_shown_on_aws_is_met():
    (row,) = coverage([FULL], facts())

    assert (row.status, row.notes) == (Coverage.MET, ())
    assert row.evidence == (
        "observations/numbers.json",
        "observations/words.json",
        "report.md",
        "sign-off/t",
        "sign-off/release",
        "sign-off/security",
        "go-live/result.json",
    )


def test_nothing_known_is_unverified():
    nothing = facts(results=(), items=(an_item(ItemState.OPEN),), signatures=(), files=frozenset(), go_live=None)

    (row,) = coverage([FULL], nothing)

    assert row.status is Coverage.UNVERIFIED


def test_a_criterion_that_names_nothing_is_unverified():
    assert together([]) is Coverage.UNVERIFIED
    assert status(criterion()) is Coverage.UNVERIFIED


def test_what_was_rehearsed_is_partial_and_says_so():
    (row,) = coverage([FULL], facts(environment=Environment.EMULATED))

    assert row.status is Coverage.PARTIAL
    assert row.notes == ("rehearsed on the embedded AWS, which cannot show more",)


@pytest.mark.parametrize(
    ("judgement", "expected"),
    [
        (a_judgement(), Coverage.MET),
        (a_judgement(a_finding()), Coverage.UNMET),
        (a_judgement(gaps=(Gap(what="x", why="y"),)), Coverage.UNVERIFIED),
        (a_judgement(examined=0), Coverage.UNVERIFIED),
    ],
    ids=["passed", "failed", "a gap", "nothing examined"],
)
def test_a_gate_shows_what_it_came_to(judgement, expected):
    assert status(criterion(gates=("numbers",)), results=(a_result("numbers", judgement),)) is expected
    assert status(criterion(go_live=True), go_live=a_result("go-live", judgement)) is expected


def test_half_of_it_is_partial():
    assert status(criterion(gates=("numbers", "words")), results=(a_result("numbers"),)) is Coverage.PARTIAL


def test_a_waived_finding_of_a_severity_that_may_not_be_is_unmet_and_a_reason_of_its_own():
    critical = a_judgement(a_finding(severity=Severity.CRITICAL))
    results = (a_result("numbers", critical, waivers=(a_waiver(),)),)
    assert results[0].findings[0].disposition is Disposition.WAIVED
    strict = criterion(gates=("numbers",), not_waived=(Severity.CRITICAL,))

    assert status(criterion(gates=("numbers",)), results=results) is Coverage.MET
    assert status(strict, results=results) is Coverage.UNMET
    assert shortfalls([strict], facts(results=results)) == ("criterion one: numbers: 1 CRITICAL finding is waived",)


@pytest.mark.parametrize("samples", [0, None], ids=["no samples", "no figure"])
def test_a_figure_of_nothing_shows_nothing(samples):
    measured = () if samples is None else figures("p95", samples=samples)
    results = (a_result("numbers", a_judgement(measurements=measured)),)
    of_figure = criterion(figures=("numbers/p95",))

    assert status(of_figure, results=results) is Coverage.UNVERIFIED
    assert shortfalls([of_figure], facts(results=results)) == ("criterion one: the gate numbers measured no p95",)


def test_what_a_gate_tells_already_is_no_reason_of_its_own():
    of_gate = criterion(gates=("words",), figures=("words/p95",))

    assert shortfalls([of_gate], facts(results=())) == ()


@pytest.mark.parametrize("found", [(), (a_result("probe", a_judgement(a_finding())),)], ids=["not asked", "failed"])
def test_a_gate_that_only_a_criterion_asks_for_is_a_reason_of_its_own(found):
    of_gate = criterion(gates=("probe",))

    assert len(shortfalls([of_gate], facts(results=found))) == 1
    assert shortfalls([of_gate], facts(results=found, required=("probe",))) == ()
    assert shortfalls([of_gate], facts(results=(a_result("probe"),))) == ()


def test_a_file_that_the_bundle_does_not_hold_shows_nothing():
    of_file = criterion(artifacts=("report.md", "benchmark.csv"))

    assert status(of_file) is Coverage.PARTIAL
    assert shortfalls([of_file], facts()) == ("criterion one: the bundle holds no benchmark.csv",)


@pytest.mark.parametrize(
    ("signatures", "signed", "decided"),
    [
        ((), Coverage.UNVERIFIED, Coverage.UNVERIFIED),
        ((a_signature(),), Coverage.PARTIAL, Coverage.PARTIAL),
        ((a_signature(), a_signature("security", "no-go")), Coverage.UNMET, Coverage.MET),
        ((a_signature(), a_signature("security", why="void")), Coverage.PARTIAL, Coverage.PARTIAL),
        ((a_signature(), a_signature("security")), Coverage.MET, Coverage.MET),
    ],
    ids=["nobody", "one of two", "one against", "one void", "both"],
)
def test_signatures_show_what_they_say(signatures, signed, decided):
    assert status(criterion(signed=("*",)), signatures=signatures) is signed
    assert status(criterion(decided=True), signatures=signatures) is decided


def test_only_the_items_that_are_named_count():
    items = (an_item(), an_item(ItemState.OPEN, "other"))

    assert status(criterion(checklist=("told",)), items=items) is Coverage.MET
    assert status(criterion(checklist=("other",)), items=items) is Coverage.UNVERIFIED
    assert status(criterion(checklist=("*",)), items=items) is Coverage.PARTIAL


# --- nothing that goes wrong makes it better -------------------------------------------------------------------------

judgements = st.builds(
    lambda found, gaps, examined, measured: a_judgement(
        *found, gaps=gaps, examined=examined, measurements=figures(*measured)
    ),
    st.lists(st.sampled_from(Severity).map(lambda severity: a_finding(severity=severity)), max_size=2),
    st.lists(st.just(Gap(what="x", why="y")), max_size=1).map(tuple),
    st.integers(0, 2),
    st.sampled_from([(), ("p95",)]),
)
results = st.lists(
    st.builds(a_result, st.sampled_from(["numbers", "words"]), judgements), max_size=2, unique_by=lambda each: each.gate
)
environments = st.sampled_from(Environment)
signed = st.lists(
    st.builds(
        a_signature,
        st.sampled_from(["release", "security"]),
        st.sampled_from(["go", "no-go"]),
        st.sampled_from(["", "v"]),
    ),
    max_size=2,
    unique_by=lambda each: each.filed.signature.role,
)
criteria = st.sampled_from(
    [
        FULL,
        criterion(gates=("numbers", "words")),
        criterion(gates=("numbers",), figures=("numbers/p95",)),
        criterion(signed=("*",), gates=("words",)),
    ]
)


def rank(criterion, **changes):
    return RANKS.index(status(criterion, **changes))


def worse(result, judgement):
    return a_result(result.gate, judgement)


@given(criteria, results, environments, signed, st.data())
def test_one_more_finding_or_gap_never_improves_a_status(criterion, found, environment, signatures, data):
    same = {"environment": environment, "signatures": tuple(signatures)}
    before = rank(criterion, results=tuple(found), **same)
    for index, result in enumerate(found):
        judged = result.judgement
        more = data.draw(
            st.sampled_from(
                [
                    replace(judged, findings=(*judged.findings, a_finding("new", Severity.HIGH))),
                    replace(judged, gaps=(*judged.gaps, Gap(what="new", why="y"))),
                    replace(judged, examined=0),
                    replace(judged, measurements=()),
                ]
            )
        )
        after = [*found[:index], worse(result, more), *found[index + 1 :]]
        assert rank(criterion, results=tuple(after), **same) <= before


@given(criteria, results, environments, signed)
def test_what_is_taken_away_never_improves_a_status_unless_it_spoke_against_it(
    criterion, found, environment, signatures
):
    same = {"environment": environment, "signatures": tuple(signatures)}
    before = status(criterion, results=tuple(found), **same)
    if before is Coverage.UNMET:
        return
    for index in range(len(found)):
        left = (*found[:index], *found[index + 1 :])
        assert rank(criterion, results=left, **same) <= RANKS.index(before)
    for index in range(len(signatures)):
        left = (*signatures[:index], *signatures[index + 1 :])
        kept = {"results": tuple(found), "environment": environment}
        assert rank(criterion, signatures=left, **kept) <= RANKS.index(before)


@given(criteria, results, signed)
def test_a_rehearsal_is_never_more_than_partial(criterion, found, signatures):
    same = {"results": tuple(found), "signatures": tuple(signatures)}
    rehearsed = rank(criterion, environment=Environment.EMULATED, **same)

    assert rehearsed <= RANKS.index(Coverage.PARTIAL)
    assert rehearsed == min(rank(criterion, environment=Environment.AWS, **same), RANKS.index(Coverage.PARTIAL))


@given(st.lists(st.sampled_from(Coverage), min_size=1), st.data())
def test_a_worse_proof_never_makes_a_better_whole(statuses, data):
    index = data.draw(st.integers(0, len(statuses) - 1))
    lower = data.draw(st.sampled_from(RANKS[: RANKS.index(statuses[index]) + 1]))
    after = [*statuses[:index], lower, *statuses[index + 1 :]]

    assert RANKS.index(together(after)) <= RANKS.index(together(statuses))
