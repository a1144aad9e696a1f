"""Verification: the verdict follows from the evidence, and from nothing that somebody wrote into the record since."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace

import pytest

from readiness import evidence, gates, report, run
from readiness.decision import decided
from readiness.errors import EvidenceError
from readiness.model import Environment, Gap, Outcome, Record, Stage
from readiness.model import record as record_noun
from readiness.run import Request, attempt, conclude, freeze
from readiness.verify import verify
from tests.unit.samples import PLAN, T0, WAIVERS, Seen, a_context, a_gate, a_judgement, a_narrator, a_plan, edit_json

EXPIRED = WAIVERS.replace("2026-02-01", "2020-01-01").replace("2026-04-01", "2020-02-01")


@pytest.fixture
def known(monkeypatch):
    found = [a_gate("numbers", (1.0, 2.0)), a_gate("words", (11.0,)), a_gate("left", stage=Stage.AFTER_TEARDOWN)]
    monkeypatch.setattr(gates, "all_gates", lambda: tuple(found))
    return found


@pytest.fixture
def sealed(tmp_path, known):
    """Return a function that asks all gates and seals the bundle."""

    def seal(plan=PLAN, waivers="", troubles=(), started_at=None):
        (tmp_path / "readiness.toml").write_text(plan)
        (tmp_path / "waivers.toml").write_text(waivers)
        request = Request(
            repository=tmp_path,
            plan_file=tmp_path / "readiness.toml",
            waivers_file=tmp_path / "waivers.toml",
            target="embedded",
            allow_dirty=True,
        )
        this = freeze(request, a_narrator()[0])
        this.started_at = started_at or this.started_at
        template = tmp_path / "shop.template.json"
        template.write_text("{}")
        run.keep_templates(this, run.staging.Assembly(folder=tmp_path, templates=(template,)))
        context = a_context(this.folder, bundle=this.bundle, ledger=this.ledger)
        this.results += [attempt(this, gate, context) for gate in known]
        this.troubles += troubles
        conclude(this)
        return this.bundle.root

    return seal


@pytest.fixture
def bundle(sealed):
    """A bundle whose gate ``words`` failed."""
    return sealed()


def seal_again(bundle):
    """Make the manifest fit what the bundle holds now, as a forger would."""
    evidence.BundleWriter(bundle).seal()


def forge(bundle, change):
    """Edit the record and make report and manifest fit."""
    edit_json(bundle / "record.json", change)
    record = evidence.read_record(bundle)
    now = decided(record, a_plan(), evidence.files(bundle))
    (bundle / "report.md").write_text(report.markdown(record, a_plan(), now))
    for name, data in report.told_of(record, a_plan(), now).items():
        (bundle / name).write_bytes(data)
    seal_again(bundle)


# --- what is accepted ------------------------------------------------------------------------------------------------


def test_an_untouched_bundle_is_confirmed_and_counted(bundle):
    done = verify(bundle)

    assert done.record == evidence.read_record(bundle)
    assert done.record.outcome is Outcome.FAILED
    assert (done.files, done.judged, done.taken) == (17, 3, 0)


def test_a_bundle_is_confirmed_wherever_it_was_copied_to(bundle, tmp_path):
    shutil.copytree(bundle, tmp_path / "elsewhere" / "copy")

    assert verify(tmp_path / "elsewhere" / "copy").judged == 3


def test_a_gate_that_could_not_observe_is_taken_as_blind(sealed, known):
    def observe(ctx, settings):
        raise KeyError("Stacks")

    known[1] = a_gate("words", observe)

    done = verify(sealed())

    assert (done.judged, done.taken) == (2, 1)
    assert done.record.outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("values", [(666.0,), (math.nan,), ()], ids=["the judge fails", "unreadable", "nothing seen"])
def test_a_gate_that_could_not_judge_stays_blind(sealed, known, values):
    known[1] = a_gate("words", values)

    assert verify(sealed()).record.outcome is Outcome.INCONCLUSIVE


def test_a_run_with_trouble_is_confirmed_as_inconclusive(sealed, known):
    known[1] = a_gate("words")

    done = verify(sealed(troubles=["It stumbled"]))

    assert done.record.outcome is Outcome.INCONCLUSIVE


def test_waivers_are_those_of_the_day_of_the_run(sealed):
    """A waiver that has expired since the run does not change a verdict that was reached under it."""
    assert verify(sealed(waivers=WAIVERS, started_at=T0)).record.outcome is Outcome.PASSED


# --- files that were changed -----------------------------------------------------------------------------------------


def test_one_byte_of_any_file_is_noticed(bundle):
    files = [file for file in bundle.rglob("*") if file.is_file()]
    assert len(files) == 18
    for file in files:
        original = file.read_bytes()
        for index in {0, len(original) // 2, len(original) - 1}:
            changed = bytearray(original or b" ")
            changed[index] ^= 1
            file.write_bytes(changed)
            with pytest.raises(EvidenceError):
                verify(bundle)
        file.write_bytes(original)
    assert verify(bundle)


def test_an_added_file_is_noticed(bundle):
    (bundle / "observations" / "extra.json").write_text("{}")

    with pytest.raises(EvidenceError, match=r"observations/extra\.json was added"):
        verify(bundle)


@pytest.mark.parametrize(
    "name",
    [
        "record.json",
        "plan.toml",
        "waivers.toml",
        "report.md",
        "observations/words.json",
        "templates/shop.template.json",
    ],
)
def test_a_removed_file_is_noticed(bundle, name):
    (bundle / name).unlink()

    with pytest.raises(EvidenceError, match=f"{name} is missing"):
        verify(bundle)


@pytest.mark.parametrize(
    "name",
    ["record.json", "plan.toml", "waivers.toml", "observations/words.json", "templates/shop.template.json"],
)
def test_a_removed_file_is_noticed_although_the_manifest_was_made_to_fit(bundle, name):
    (bundle / name).unlink()
    seal_again(bundle)

    with pytest.raises(EvidenceError):
        verify(bundle)


@pytest.mark.parametrize("target", ["plan.toml", "waivers.toml", "templates/shop.template.json"])
def test_a_frozen_file_that_was_changed_is_noticed_although_the_manifest_was_made_to_fit(bundle, target):
    with (bundle / target).open("a") as file:
        file.write(" ")
    seal_again(bundle)

    with pytest.raises(EvidenceError, match="digest"):
        verify(bundle)


def test_a_folder_that_is_no_bundle_is_refused(tmp_path):
    with pytest.raises(EvidenceError, match="is no evidence bundle"):
        verify(tmp_path)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(EvidenceError, match="is no evidence bundle"):
        verify(tmp_path / "none")


# --- records that were changed, with report and manifest made to fit -------------------------------------------------


def words(raw):
    return raw["results"][1]


def upgrade(raw):
    raw["outcome"] = "passed"


def drop_finding(raw):
    words(raw)["findings"] = words(raw)["judgement"]["findings"] = []
    words(raw)["outcome"] = "passed"
    raw["outcome"] = "passed"
    raw["reasons"] = [reason for reason in raw["reasons"] if not reason.startswith("words")]


def drop_result(raw):
    del raw["results"][1]


def drop_result_and_requirement(raw):
    drop_result(raw)
    raw["required"] = ["numbers"]
    raw["outcome"] = "passed"


def soften(raw):
    words(raw)["judgement"]["findings"][0]["severity"] = "LOW"
    words(raw)["findings"][0]["finding"]["severity"] = "LOW"
    words(raw)["outcome"] = raw["outcome"] = "passed"


def waive(raw):
    waiver = {"rule": "*", "subject": "*", "reason": "because we wanted to", "owner": "a", "approver": "b"}
    words(raw)["findings"][0] |= {
        "disposition": "waived",
        "waiver": waiver | {"created": "2026-01-01", "expires": "2999-01-01"},
    }
    words(raw)["outcome"] = raw["outcome"] = "passed"


def mark_as_waived(raw):
    words(raw)["findings"][0]["disposition"] = "waived"


def not_required(raw):
    words(raw)["required"] = False


def another_observation(raw):
    words(raw)["observation"] = "observations/numbers.json"


def blindness(raw):
    words(raw).update(
        observation=None,
        findings=[],
        outcome="inconclusive",
        judgement={"examined": 0, "gaps": [{"what": "x", "why": "y"}]},
    )
    raw["outcome"] = "inconclusive"
    raw["reasons"] = [
        "words: inconclusive: x: y" if reason.startswith("words") else reason for reason in raw["reasons"]
    ]


def other_requirements(raw):
    raw["required"].reverse()


def more_examined(raw):
    raw["results"][0]["judgement"]["examined"] = 1000


def better_figure(raw):
    raw["results"][0]["judgement"]["measurements"][0]["value"] = 0.5


def go(raw):
    raw["verdict"] = "GO"


def no_reasons(raw):
    raw["reasons"] = []


def another_image(raw):
    raw["candidate"]["image"] = "shop:2"


def another_template(raw):
    raw["candidate"]["template_digests"] = {}


def no_trouble(raw):
    raw["reasons"].insert(0, "something else")


def stranger(raw):
    raw["results"][0]["gate"] = "colours"


def renamed(raw):
    words(raw)["gate"] = "numbers"


@pytest.mark.parametrize(
    "change",
    [
        upgrade,
        drop_finding,
        drop_result,
        drop_result_and_requirement,
        soften,
        waive,
        mark_as_waived,
        not_required,
        another_observation,
        blindness,
        other_requirements,
        more_examined,
        better_figure,
        go,
        no_reasons,
        another_image,
        another_template,
        no_trouble,
        stranger,
        renamed,
    ],
)
def test_an_edited_record_is_noticed_although_report_and_manifest_were_made_to_fit(bundle, change):
    forge(bundle, change)

    with pytest.raises(EvidenceError):
        verify(bundle)


def test_the_refusal_says_what_was_written_and_what_the_evidence_yields(bundle):
    forge(bundle, upgrade)

    with pytest.raises(EvidenceError) as caught:
        verify(bundle)
    assert "The record says outcome = <Outcome.PASSED: 'passed'>, but the evidence yields" in str(caught.value)


def test_a_gate_that_this_version_does_not_know_names_the_version_that_does(bundle, known):
    known.pop(0)

    with pytest.raises(EvidenceError, match="has no gate 'numbers'") as caught:
        verify(bundle)
    assert caught.value.hint.startswith("Verify with readiness ")


def test_a_waiver_that_was_added_to_the_register_is_noticed(bundle):
    (bundle / "waivers.toml").write_text(WAIVERS)
    forge(bundle, waive)

    with pytest.raises(EvidenceError, match="waivers_digest"):
        verify(bundle)


def test_a_waiver_that_was_added_everywhere_still_has_to_be_valid(bundle):
    register = WAIVERS.replace("Grace", "Ada")
    (bundle / "waivers.toml").write_text(register)
    forge(bundle, lambda raw: raw.update(waivers_digest=evidence.sha256(register.encode())))

    with pytest.raises(EvidenceError, match="The bundle's own plan or waivers are invalid"):
        verify(bundle)


def test_a_plan_that_was_relaxed_is_noticed(bundle):
    (bundle / "plan.toml").write_text(PLAN + "\n[gates.settings.words]\nlimit = 100\n")
    seal_again(bundle)

    with pytest.raises(EvidenceError, match="plan_digest"):
        verify(bundle)


def test_an_observation_that_was_changed_yields_another_result(bundle):
    edit_json(bundle / "observations/words.json", lambda raw: raw.update(values=[1.0]))
    seal_again(bundle)

    with pytest.raises(EvidenceError, match=r"results\[words\]"):
        verify(bundle)


def test_an_observation_that_cannot_be_read_any_more_is_no_blindness(bundle):
    (bundle / "observations/words.json").write_text("{}")
    seal_again(bundle)

    with pytest.raises(EvidenceError, match=r"results\[words\]: its observation cannot be judged"):
        verify(bundle)


def test_an_observation_that_lies_outside_of_the_bundle_is_not_read(bundle):
    (bundle.parent / "good.json").write_bytes(evidence.to_json(Seen, Seen(values=(1.0,))))

    forge(bundle, lambda raw: words(raw).update(observation="../good.json"))

    with pytest.raises(EvidenceError, match=r"observations/words\.json"):
        verify(bundle)


def test_a_result_without_an_observation_must_be_blind(bundle):
    def change(raw):
        raw["results"][0]["observation"] = None

    (bundle / "observations/numbers.json").unlink()
    forge(bundle, change)

    with pytest.raises(EvidenceError, match="has no observation, and yet claims"):
        verify(bundle)


def test_a_gate_that_says_it_saw_something_cannot_turn_blind_while_its_observation_is_there(bundle):
    forge(bundle, blindness)

    with pytest.raises(
        EvidenceError, match=r"claims to have seen nothing, but the bundle holds observations/words\.json"
    ):
        verify(bundle)


def test_a_blindness_without_a_gap_is_refused(bundle):
    def change(raw):
        raw["results"][0].update(observation=None, judgement={"examined": 0}, outcome="inconclusive")

    (bundle / "observations/numbers.json").unlink()
    forge(bundle, change)

    with pytest.raises(EvidenceError, match="has no observation"):
        verify(bundle)


def test_leftovers_that_the_evidence_shows_cannot_be_left_out_of_the_record(sealed, known):
    known[2] = a_gate("left", (11.0,), stage=Stage.AFTER_TEARDOWN)
    bundle = sealed()
    assert evidence.read_record(bundle).leftovers == ("value-0",)

    forge(bundle, lambda raw: raw.update(leftovers=[]))

    with pytest.raises(EvidenceError, match="leaves out of its leftovers"):
        verify(bundle)


def test_unused_waivers_cannot_be_left_out_of_the_record(sealed):
    bundle = sealed(waivers=EXPIRED)
    forge(bundle, lambda raw: raw.update(unused_waivers=[]))

    with pytest.raises(EvidenceError, match="unused_waivers"):
        verify(bundle)


def test_trouble_cannot_be_left_out_of_the_record_alone(sealed, known):
    known[1] = a_gate("words")
    bundle = sealed(troubles=["It stumbled"])

    forge(bundle, lambda raw: raw.update(troubles=[]))

    with pytest.raises(EvidenceError, match="outcome"):
        verify(bundle)


def test_a_record_of_another_form_is_refused(bundle):
    edit_json(bundle / "record.json", lambda raw: raw.update(colour="red"))
    seal_again(bundle)

    with pytest.raises(EvidenceError, match=r"record\.json is no Record: colour"):
        verify(bundle)


def test_a_judge_that_has_changed_since_is_told_apart(bundle, known):
    known[0] = replace(known[0], judge=lambda seen, settings: a_judgement(gaps=(Gap(what="x", why="stricter now"),)))

    with pytest.raises(EvidenceError, match=r"results\[numbers\]") as caught:
        verify(bundle)
    assert "another version of the harness" in caught.value.hint


def test_the_record_in_the_bundle_is_the_one_that_the_run_returned(bundle):
    assert json.loads((bundle / "record.json").read_text()) == json.loads(
        evidence.to_json(Record, evidence.read_record(bundle))
    )


def test_an_observation_that_was_made_elsewhere_than_the_record_says_is_refused(sealed, known):
    """What counts in a rehearsal alone, such as a sample review, must not count because the observation says so."""

    @record_noun
    class Placed:
        environment: Environment = Environment.AWS

    known[0] = replace(
        a_gate("numbers"),
        observation=Placed,
        observe=lambda ctx, settings: Placed(),
        judge=lambda seen, s: a_judgement(),
    )

    with pytest.raises(EvidenceError, match="environment of numbers"):
        verify(sealed())


def test_a_field_that_is_the_plans_cannot_be_another_in_the_evidence(sealed, known):
    known[0] = replace(known[0], terms=lambda plan: {"values": (3.0,)})

    with pytest.raises(EvidenceError, match=r"values of numbers = \(1\.0, 2\.0\)"):
        verify(sealed())


def test_a_gate_cannot_be_told_of_twice(bundle):
    forge(bundle, lambda raw: raw["results"].append(raw["results"][0]))

    with pytest.raises(EvidenceError, match="results = 3"):
        verify(bundle)


# --- planted faults --------------------------------------------------------------------------------------------------


def test_what_became_of_a_planted_fault_cannot_be_told_otherwise(bundle):
    edit_json(bundle / evidence.CONTROLS, lambda rows: rows[0].update(came_to="passed"))
    seal_again(bundle)

    with pytest.raises(EvidenceError, match=r"controls\.json"):
        verify(bundle)


def test_a_bundle_that_says_nothing_of_planted_faults_is_refused(bundle):
    (bundle / evidence.CONTROLS).unlink()
    seal_again(bundle)

    with pytest.raises(EvidenceError, match="no controls"):
        verify(bundle)
