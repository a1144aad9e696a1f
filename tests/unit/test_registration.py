"""Pre-registration: what decides a run was in the commit before it, or the run proves nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from readiness import decide, decision, evidence, report
from readiness.decide import ExitCode
from readiness.errors import EvidenceError
from readiness.model import Environment, Outcome, Registration, Verdict
from readiness.registration import at_the_end, git_state, register
from readiness.report import registered as registered_rows
from readiness.run import Request, conclude, freeze
from readiness.verify import verify
from tests.unit.samples import PLAN, a_narrator, a_plan, a_record, a_result, commit_all, edit_json, git


@pytest.fixture
def repository(tmp_path):
    """A repository whose plan is committed; there is no register of waivers."""
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "readiness.toml").write_text(PLAN)
    commit_all(folder)
    return folder


def registered(repository: Path, *, allow_dirty: bool = False, plan: str = "readiness.toml") -> Registration:
    files = {}
    for kept, name in ((evidence.PLAN, plan), (evidence.WAIVERS, "waivers.toml")):
        file = repository / name
        files[file] = (kept, file.read_bytes() if file.exists() else b"")
    return register(repository, files, allow_dirty=allow_dirty)


def decided(registration: Registration, environment: Environment = Environment.AWS, signed: bool = True):
    return decide.verdict(
        [a_result()],
        required=["numbers"],
        environment=environment,
        missing=() if signed else ("sign-off: release has not signed",),
        registration=registration,
    )


@pytest.mark.parametrize("inside", [".", "services/shop"])
def test_the_harness_own_folder_is_no_part_of_the_candidate_and_any_other_file_is(repository, inside):
    (repository / inside / ".readiness" / "runs").mkdir(parents=True)
    (repository / inside / ".readiness" / "runs" / "ledger.jsonl").write_text("{}")
    assert git_state(repository / inside)[1] is False

    (repository / "app.py").write_text("1")
    assert git_state(repository / inside)[1] is True


def test_a_committed_plan_may_be_go_and_names_its_commit(repository):
    found = registered(repository)

    assert decided(found) == (Outcome.PASSED, Verdict.GO, ())
    assert found.commit == found.files[0].commit == git(repository, "rev-parse", "HEAD")
    assert found.files[0].committed_at is not None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folder: (folder / "readiness.toml").write_text(PLAN + "\n"), "readiness.toml differs from commit"),
        (lambda folder: (folder / "waivers.toml").write_text("# none\n"), "waivers.toml is not in commit"),
        (lambda folder: git(folder, "rm", "-q", "--cached", "readiness.toml") or git(folder, "commit", "-qm", "gone"),
         "readiness.toml is not in commit"),
    ],
)  # fmt: skip
def test_what_is_not_committed_is_a_gap_and_never_go(repository, change, words):
    change(repository)

    outcome, verdict, reasons = decided(registered(repository))

    assert (outcome, verdict) == (Outcome.INCONCLUSIVE, Verdict.NO_GO)
    assert len(reasons) == 1
    assert words in reasons[0]


def test_a_staged_change_is_not_committed(repository):
    (repository / "readiness.toml").write_text(PLAN + "\n")
    git(repository, "add", ".")

    assert decided(registered(repository))[0] is Outcome.INCONCLUSIVE


def test_a_register_that_was_deleted_is_a_change(repository):
    (repository / "waivers.toml").write_text("# none yet\n")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "a register")
    assert decided(registered(repository))[1] is Verdict.GO
    (repository / "waivers.toml").unlink()

    assert "waivers.toml differs from commit" in decided(registered(repository))[2][0]


def test_a_plan_outside_of_the_repository_is_in_no_commit(repository, tmp_path):
    (tmp_path / "other.toml").write_text(PLAN)

    assert "other.toml is not in commit" in decided(registered(repository, plan="../other.toml"))[2][0]


def test_without_git_nothing_is_registered(tmp_path):
    (tmp_path / "readiness.toml").write_text(PLAN)

    assert decided(registered(tmp_path))[0] is Outcome.INCONCLUSIVE


def test_a_record_without_a_registration_shows_nothing(repository):
    assert decided(Registration())[0] is Outcome.INCONCLUSIVE


def test_allow_dirty_makes_a_rehearsal_and_never_a_go(repository):
    (repository / "readiness.toml").write_text(PLAN + "\n")
    found = registered(repository, allow_dirty=True)

    rehearsed, _, said = decided(found, Environment.EMULATED)
    on_aws, verdict, _ = decided(found)

    assert rehearsed is on_aws is Outcome.PASSED
    assert verdict is Verdict.NO_GO
    assert any("differs from commit" in reason for reason in said)
    record = a_record(environment=Environment.AWS, outcome=on_aws, verdict=verdict)
    assert decide.exit_code(record) is ExitCode.NO_RELIABLE_VERDICT


def test_allow_dirty_changes_nothing_where_all_is_committed(repository):
    assert decided(registered(repository, allow_dirty=True)) == (Outcome.PASSED, Verdict.GO, ())


@pytest.mark.parametrize("allow_dirty", [True, False])
@pytest.mark.parametrize("name", ["readiness.toml", "waivers.toml"])
def test_a_change_during_the_run_is_a_gap_even_of_a_rehearsal(repository, name, allow_dirty):
    before = registered(repository, allow_dirty=allow_dirty)
    (repository / name).write_text(PLAN + "# later\n")

    outcome, verdict, reasons = decided(at_the_end(repository, before), Environment.EMULATED)

    assert (outcome, verdict) == (Outcome.INCONCLUSIVE, Verdict.NO_GO)
    assert f"pre-registration: {name} was changed during the run" in reasons


def test_what_stayed_the_same_was_not_changed(repository):
    before = registered(repository)

    assert at_the_end(repository, before) == before


def told(record) -> str:
    return report.markdown(record, a_plan(), decision.decided(record, a_plan(), frozenset()))


def test_the_report_tells_how_each_file_stood(repository):
    (repository / "waivers.toml").write_text("# none\n")
    found = registered(repository)
    changed = replace(found, files=(replace(found.files[0], changed=True), *found.files[1:]))

    plan, register_ = registered_rows.rows(changed)

    assert plan[0] == "readiness.toml"
    assert plan[1].startswith(f"as committed in {found.commit[:12]}, ")
    assert plan[1].endswith(" UTC; changed during the run")
    assert register_ == ("waivers.toml", "in no commit")
    assert "| `readiness.toml` | as committed in" in told(a_record(registration=changed))
    assert "Nothing shows that the plan was fixed" in told(a_record(registration=Registration()))


# --- of a whole run --------------------------------------------------------------------------------------------------


def concluded(repository: Path, tmp_path: Path, *, meanwhile=lambda: None, **changes):
    narrator, said = a_narrator()
    request = Request(
        **{
            "repository": repository,
            "plan_file": repository / "readiness.toml",
            "waivers_file": repository / "waivers.toml",
            "target": "embedded",
            "evidence": tmp_path / "bundle",
        }
        | changes
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("readiness.run.check_gates", lambda plan, request: None)
        this = freeze(request, narrator)
    meanwhile()
    return conclude(this), said.getvalue()


def test_a_run_holds_its_files_against_the_commit(repository, tmp_path):
    record, said = concluded(repository, tmp_path)

    assert [each.path for each in record.registration.files] == ["readiness.toml", "waivers.toml"]
    assert not any("pre-registration" in reason for reason in record.reasons)
    assert "pre-registration" not in said
    assert verify(tmp_path / "bundle").record == record


def test_a_dirty_plan_is_told_before_the_run_and_in_its_record(repository, tmp_path):
    (repository / "readiness.toml").write_text(PLAN + "\n")

    record, said = concluded(repository, tmp_path)

    assert "The run will be inconclusive" in said
    assert any("readiness.toml differs from commit" in reason for reason in record.reasons)
    assert verify(tmp_path / "bundle").record == record


def test_an_objective_that_can_never_have_its_samples_is_told_before_the_run(repository, tmp_path):
    text = PLAN.replace('threshold = "250ms"', 'threshold = "250ms"\nmin_samples = 9000')
    (repository / "readiness.toml").write_text(text)

    _, said = concluded(repository, tmp_path)

    assert "objective latency: at most 200 samples are expected, and 9000 are wanted" in said


def test_a_plan_that_changes_under_a_run_is_in_its_record(repository, tmp_path):
    record, _ = concluded(
        repository, tmp_path, meanwhile=lambda: (repository / "readiness.toml").write_text(PLAN + "\n")
    )

    assert "pre-registration: readiness.toml was changed during the run" in record.reasons
    assert verify(tmp_path / "bundle").record == record


@pytest.mark.parametrize(
    "forge",
    [
        lambda raw: raw["registration"].update(files=[]),
        lambda raw: raw["registration"]["files"][0].update(committed=raw["registration"]["files"][0]["digest"]),
        lambda raw: raw["registration"].update(commit="0" * 40),
        lambda raw: raw.pop("registration"),
    ],
)
def test_a_forged_registration_does_not_verify(repository, tmp_path, forge):
    (repository / "readiness.toml").write_text(PLAN + "\n")
    concluded(repository, tmp_path)
    bundle = tmp_path / "bundle"
    edit_json(bundle / evidence.RECORD, forge)
    evidence.BundleWriter(bundle).seal()

    with pytest.raises(EvidenceError):
        verify(bundle)


def test_the_same_registration_with_another_standing_is_another_verdict(repository):
    found = registered(repository)
    broken = replace(found, files=(replace(found.files[0], committed=None), *found.files[1:]))

    assert decided(broken)[1] is Verdict.NO_GO
