"""Stories of the sign-off, on a sealed bundle: who may decide what, what counts, and what voids it."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from readiness import cli, envelope, evidence, gates, keys, run, sign_off
from readiness.compare import compare_bundles, told
from readiness.errors import EvidenceError, UsageError
from readiness.model import Decision, Environment, GateResult, ItemState, Outcome, Stage, Verdict
from readiness.run import Request, attempt, conclude, freeze
from readiness.signing import SignatureRefusedError, sign, tick
from readiness.verify import verify
from tests.unit.samples import PLAN, a_context, a_gate, a_narrator, a_result, commit_all, edit_json

OWNERS = """
release = { name = "Ada" }
security = { name = "Grace", deputies = ["Edsger"] }
"""
PEOPLE = (
    PLAN.replace('release = { name = "Ada" }\n', OWNERS)
    + """
[[checklist]]
id = "numbers-are-good"
text = "The numbers are good"
gate = "numbers"

[[checklist]]
id = "told"
text = "Everybody was told"
owner = "release"

[[criteria]]
id = "good"
type = "acceptance"
text = "All is good"
gates = ["numbers", "words"]

[[criteria]]
id = "complete"
type = "definition-of-done"
text = "The checklist is complete, and everybody has decided"
checklist = ["*"]
decided = true

[[criteria]]
id = "deployed"
type = "acceptance"
text = "It is in production"
go_live = true
"""
)
RISK = "one-zone|All tasks may stand in one zone|Ada|a second zone is ordered|"


GATES = (a_gate("numbers"), a_gate("words"), a_gate("left", stage=Stage.AFTER_TEARDOWN))


class Clock:
    """Stands for the class ``datetime``: it is always the same instant."""

    def __init__(self, instant):
        self.instant = instant

    def now(self, zone):
        return self.instant


@pytest.fixture
def known(monkeypatch):
    found = list(GATES)
    monkeypatch.setattr(gates, "all_gates", lambda: tuple(found))
    return found


@pytest.fixture
def sealed(tmp_path, known):
    """Return a function that asks all gates and seals the bundle."""

    def seal(target="aws", plan=PEOPLE):
        folder = tmp_path / target
        folder.mkdir(exist_ok=True)
        (folder / "readiness.toml").write_text(plan)
        commit_all(folder)
        request = Request(
            repository=folder,
            plan_file=folder / "readiness.toml",
            waivers_file=folder / "waivers.toml",
            target=target,
            yes=True,
        )
        this = freeze(request, a_narrator()[0])
        template = folder / "shop.template.json"
        template.write_text("{}")
        run.keep_templates(this, run.staging.Assembly(folder=folder, templates=(template,)))
        context = a_context(this.folder, bundle=this.bundle, ledger=this.ledger)
        this.results += [attempt(this, gate, context) for gate in known]
        conclude(this)
        return this.bundle.root

    return seal


@pytest.fixture
def bundle(sealed):
    """A bundle of AWS in which every gate passed."""
    return sealed()


def now():
    return datetime.now(UTC)


def ticked(bundle, item="told", *, by="Ada", shown_by="mail of Monday", done=True, at=None):
    return tick(bundle, item, by=by, shown_by=shown_by, note="", done=done, at=at or now())


def signed(bundle, role="release", name="Ada", decision="go", *, risks=(), key=None, at=None, passphrase=None):
    return sign(
        bundle,
        role,
        name=name,
        decision=decision,
        note="",
        risks=risks,
        key=key,
        passphrase=passphrase,
        at=at or now(),
    )


def everything(bundle, **changes):
    """Do all that a GO needs."""
    ticked(bundle)
    signed(bundle, **changes)
    return signed(bundle, "security", "Grace")


def command(capsys, *arguments):
    """Return the exit code of a command, and what it said."""
    code = cli.command([str(each) for each in arguments])
    said = capsys.readouterr()
    return code, said.out + said.err


def sign_command(capsys, bundle, role="release", name="Ada", decision="go", *more):
    return command(capsys, "sign", bundle, "--as", role, "--name", name, "--decision", decision, *more)


# --- the whole way ---------------------------------------------------------------------------------------------------


def test_all_gates_passed_everything_ticked_and_everybody_signed_is_go(bundle, capsys):
    assert command(capsys, "tick", bundle, "told", "--by", "Ada", "--evidence", "mail of Monday")[0] == 1
    code, said = sign_command(capsys, bundle)
    assert (code, "  - sign-off: security has not signed" in said) == (1, True)
    code, said = sign_command(capsys, bundle, "security", "Grace")

    assert code == 0
    assert said.startswith("Grace signed go as security.\nGO\n")
    assert "\n  - " not in said
    assert command(capsys, "verify", bundle)[0] == 0
    now = evidence.read_decision(bundle)
    assert (now.verdict, now.reasons) == (Verdict.GO, ())
    assert {each.criterion.id: str(each.status) for each in now.criteria} == {
        "good": "Met",
        "complete": "Met",
        "deployed": "Unverified",
    }
    told = (bundle / sign_off.GO_NO_GO).read_text()
    assert told.startswith("# Go/no-go: shop: GO\n")
    assert "Nothing stands between this candidate and production." in told
    assert "| release | Ada | go |" in told
    page = (bundle / sign_off.PAGE).read_text()
    assert "Grace" in page
    assert "Nothing stands between this candidate and production." in page


def test_the_run_itself_says_what_people_still_have_to_do(bundle):
    record = evidence.read_record(bundle)

    assert (record.outcome, record.verdict) == (Outcome.PASSED, Verdict.NO_GO)
    assert record.reasons == (
        "checklist: told is open: nobody has ticked it",
        "sign-off: release has not signed",
        "sign-off: security has not signed",
    )
    for reason in record.reasons:
        assert f"- {reason}" in (bundle / "go-no-go.md").read_text()


def test_what_is_sealed_is_not_touched_by_a_decision(bundle):
    before = evidence.bundle_digest(bundle)

    everything(bundle)

    assert evidence.bundle_digest(bundle) == before
    assert evidence.check_manifest(bundle)


def test_a_rehearsal_shows_the_whole_procedure_and_stays_no_go(sealed, capsys):
    bundle = sealed("embedded")
    everything_but_one = ticked(bundle)
    assert everything_but_one.checklist[1].state is ItemState.REHEARSED
    sign_command(capsys, bundle)

    code, said = sign_command(capsys, bundle, "security", "Grace")

    assert code == 0
    assert "NO-GO for production; the rehearsal is complete" in said
    assert said.count("\n  - ") == 1
    now = evidence.read_decision(bundle)
    assert (now.environment, now.verdict) == (Environment.EMULATED, Verdict.NO_GO)
    assert {str(each.status) for each in now.criteria} == {"Partial", "Unverified"}


# --- what is missing -------------------------------------------------------------------------------------------------


def test_a_missing_signature_is_no_go_and_named(bundle, capsys):
    ticked(bundle)

    code, said = sign_command(capsys, bundle)

    assert code == 1
    assert said.splitlines()[1:3] == ["NO-GO", "  - sign-off: security has not signed"]


def test_an_open_item_of_the_checklist_is_no_go_and_named(bundle, capsys):
    signed(bundle)

    code, said = sign_command(capsys, bundle, "security", "Grace")

    assert code == 1
    assert "  - checklist: told is open: nobody has ticked it" in said


def test_a_tick_that_is_taken_back_leaves_the_item_open(bundle):
    assert ticked(bundle).checklist[1].state is ItemState.DONE

    now = ticked(bundle, done=False)

    assert now.checklist[1].state is ItemState.OPEN
    assert "checklist: told is open: nobody has ticked it" in now.reasons


def test_the_same_person_in_every_role_is_no_go(sealed, capsys):
    bundle = sealed(plan=PEOPLE.replace('deputies = ["Edsger"]', 'deputies = ["*"]'))
    ticked(bundle)
    signed(bundle)

    code, said = sign_command(capsys, bundle, "security", " ADA ")

    assert code == 1
    assert "2 different people have to sign" in said


def test_a_plan_with_one_owner_is_never_go(sealed):
    bundle = sealed(plan=PLAN)

    now = signed(bundle)

    assert now.verdict is Verdict.NO_GO
    assert now.reasons == ("sign-off: the plan names 1 owner; 2 different people have to sign",)


def test_a_signed_no_go_is_exit_code_2(bundle, capsys):
    everything(bundle)

    code, said = sign_command(capsys, bundle, "security", "Grace", "no-go", "--note", "too soon")

    assert code == 2
    assert "  - sign-off: security signed no-go: too soon" in said


def test_no_word_of_a_signer_steers_the_terminal_of_whoever_reads_it(bundle, capsys):
    everything(bundle)

    _, said = sign_command(capsys, bundle, "security", "Grace", "no-go", "--note", "too soon\x1b[2J\u202e")

    assert "too soon⟨U+001B⟩[2J⟨U+202E⟩" in said
    assert "\x1b" not in said


def test_a_go_on_a_run_that_failed_is_refused_with_the_reason(sealed, known, capsys):
    known[1] = a_gate("words", (11.0,))
    bundle = sealed()

    code, said = sign_command(capsys, bundle)

    assert code == 2
    assert "refused" in said
    assert "  - words: failed: value-0: is too much" in said
    assert not (bundle / "sign-off").exists()
    assert sign_command(capsys, bundle, "release", "Ada", "no-go")[0] == 2


def test_a_go_on_a_run_that_saw_nothing_is_refused(sealed, known):
    known[1] = a_gate("words", ())

    with pytest.raises(SignatureRefusedError, match="came to inconclusive"):
        signed(sealed())


# --- residual risks --------------------------------------------------------------------------------------------------


def until(days):
    return (now() + timedelta(days=days)).date()


def test_a_risk_is_accepted_with_owner_mitigation_and_an_end(bundle, capsys):
    ticked(bundle)
    sign_command(capsys, bundle, "release", "Ada", "go", "--residual-risk", f"{RISK}{until(30)}")

    code, _ = sign_command(capsys, bundle, "security", "Grace")

    assert code == 0
    (risk,) = evidence.read_decision(bundle).risks
    assert (risk.id, risk.owner, risk.accepted_until) == ("one-zone", "Ada", until(30))
    assert "All tasks may stand in one zone" in (bundle / sign_off.GO_NO_GO).read_text()


def test_a_risk_whose_day_is_over_is_no_go(bundle, capsys):
    """It was accepted for a day; two days later somebody signs again, and nothing stands any more."""
    earlier = now()
    risk = parse_risk(until(0))
    ticked(bundle, at=earlier)
    signed(bundle, risks=(risk,), at=earlier)
    assert signed(bundle, "security", "Grace", at=earlier).verdict is Verdict.GO

    later = signed(bundle, "security", "Grace", at=earlier + timedelta(days=2))

    assert later.verdict is Verdict.NO_GO
    assert later.reasons == (f"residual risk: one-zone was accepted until {until(0)}, which is over",)


def test_a_go_whose_risk_has_ended_since_is_confirmed_and_told_to_hold_no_more(sealed, capsys, monkeypatch):
    long_ago = now() - timedelta(days=3)
    monkeypatch.setattr(run, "datetime", Clock(long_ago))
    bundle = sealed()
    monkeypatch.undo()
    monkeypatch.setattr(gates, "all_gates", lambda: GATES)
    ticked(bundle, at=long_ago)
    signed(bundle, risks=(parse_risk(long_ago.date()),), at=long_ago)
    signed(bundle, "security", "Grace", at=long_ago)

    code, said = command(capsys, "verify", bundle)
    assert code == 0
    assert said.startswith("GO: confirmed.\n")
    assert f"since then: residual risk: one-zone was accepted until {long_ago.date()}, which is over" in said
    assert command(capsys, "verify", bundle, "--require-go")[0] == 1


def test_verify_can_be_asked_for_a_go(bundle, capsys):
    assert command(capsys, "verify", bundle, "--require-go")[0] == 1
    everything(bundle)
    assert command(capsys, "verify", bundle, "--require-go")[0] == 0
    signed(bundle, decision="no-go")
    assert command(capsys, "verify", bundle, "--require-go")[0] == 2
    assert command(capsys, "verify", bundle)[0] == 0


def parse_risk(day):
    from readiness.commands.sign import _risk

    return _risk(f"{RISK}{day}")


def test_a_risk_that_is_over_already_cannot_be_accepted(bundle, capsys):
    code, said = sign_command(capsys, bundle, "release", "Ada", "go", "--residual-risk", f"{RISK}2026-01-01")

    assert code == 5
    assert "Residual risk: one-zone was accepted until 2026-01-01, which is over." in said


def test_a_go_does_not_cover_a_risk_that_was_accepted_after_it(bundle):
    ticked(bundle)
    signed(bundle)

    after = signed(bundle, "security", "Grace", risks=(parse_risk(until(3)),))

    assert after.reasons == (
        "sign-off: the signature of release is void: the residual risk one-zone was accepted after it: sign again",
    )
    assert signed(bundle).verdict is Verdict.GO


def test_a_go_does_not_outlive_the_tick_that_it_rested_on(bundle):
    everything(bundle)

    again = ticked(bundle, shown_by="mail of Tuesday")

    assert [each for each in again.reasons if "the tick of told was changed after it" in each]
    assert again.verdict is Verdict.NO_GO


def test_a_file_of_risks_is_read_and_its_mistakes_are_named(bundle, tmp_path, capsys):
    file = tmp_path / "risks.toml"
    lines = ["[[risks]]", 'id = "one-zone"', 'text = "All tasks in one zone"', 'owner = "Ada"', 'mitigation = "none"']
    good = "\n".join([*lines, f"accepted_until = {until(9)}"])
    file.write_text(good)
    assert sign_command(capsys, bundle, "release", "Ada", "go", "--risks", file)[0] == 1
    assert [each.id for each in evidence.read_decision(bundle).risks] == ["one-zone"]

    code, said = sign_command(capsys, bundle, "release", "Ada", "go", "--risks", tmp_path / "none.toml")
    assert (code, "--risks: there is no file" in said) == (5, True)
    file.write_text(good.replace("owner", "onwer"))
    code, said = sign_command(capsys, bundle, "release", "Ada", "go", "--risks", file)

    assert code == 3
    assert "risks[0].onwer" in said


# --- who may ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "name", "words"),
    [
        ("relaese", "Ada", "Did you mean 'release'?"),
        ("marketing", "Ada", "There are: release, security."),
        ("security", "Ada", "The plan names for security: Grace, Edsger."),
    ],
)
def test_nobody_signs_for_a_role_that_is_not_theirs(bundle, capsys, role, name, words):
    code, said = sign_command(capsys, bundle, role, name)

    assert code == 5
    assert words in said
    assert not (bundle / "sign-off").exists()


def test_a_deputy_signs_for_a_role(bundle):
    ticked(bundle)
    signed(bundle)

    assert signed(bundle, "security", "edsger").verdict is Verdict.GO


@pytest.mark.parametrize(
    ("item", "by", "words"),
    [
        ("tolled", "Ada", "Did you mean 'told'?"),
        ("numbers-are-good", "Ada", "is automatic: the gate numbers answers it"),
        ("told", "Grace", "Grace may not tick told: it belongs to release."),
    ],
)
def test_nobody_ticks_what_is_not_theirs(bundle, capsys, item, by, words):
    code, said = command(capsys, "tick", bundle, item, "--by", by, "--evidence", "a mail")

    assert code == 5
    assert words in said
    assert not (bundle / "sign-off").exists()


def test_a_file_that_shows_a_tick_is_kept_with_its_digest(bundle, tmp_path):
    photo = tmp_path / "rota.txt"
    photo.write_text("Ada, Grace")

    now = ticked(bundle, shown_by=str(photo))

    kept = bundle / now.checklist[1].evidence
    assert kept.read_text() == "Ada, Grace"
    kept.write_text("Ada, Ada")
    with pytest.raises(EvidenceError, match=r"rota\.txt was altered"):
        verify(bundle)


def test_a_file_that_is_not_there_shows_nothing(bundle):
    with pytest.raises(UsageError, match=r"there is no file photos/rota\.png"):
        ticked(bundle, shown_by="photos/rota.png")


def test_a_long_sentence_is_no_file(bundle):
    assert "x" * 5000 in ticked(bundle, shown_by="x" * 5000).checklist[1].why


def test_a_file_that_is_too_large_is_not_kept(bundle, tmp_path):
    film = tmp_path / "film.mp4"
    with film.open("wb") as file:
        file.truncate(20_000_001)

    with pytest.raises(UsageError, match="larger than 20 MB"):
        ticked(bundle, shown_by=str(film))


@pytest.mark.parametrize("shown_by", ["", "  "])
def test_a_tick_needs_something_that_shows_it(bundle, shown_by):
    with pytest.raises(UsageError, match="evidence"):
        ticked(bundle, shown_by=shown_by)


def test_nobody_signs_without_a_name(bundle, capsys):
    code, said = sign_command(capsys, bundle, "release", " ")

    assert (code, "name: is empty" in said) == (5, True)
    assert not (bundle / "sign-off").exists()


# --- keys ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def key(tmp_path, capsys):
    """The file of a private key, and its public key."""

    def make(name):
        code, said = command(capsys, "keygen", tmp_path / name)
        assert code == 0
        return tmp_path / name, said.strip().removeprefix('public_key = "').removesuffix('"')

    return make


def with_key(public):
    return PEOPLE.replace('{ name = "Ada" }', f'{{ name = "Ada", public_key = "{public}" }}')


def test_a_role_with_a_key_is_signed_with_it_alone(sealed, key, capsys):
    private, public = key("ada")
    other, _ = key("other")
    bundle = sealed(plan=with_key(public))
    ticked(bundle)

    code, said = sign_command(capsys, bundle)
    assert (code, "but no key signs" in said) == (5, True)
    code, said = sign_command(capsys, bundle, "release", "Ada", "go", "--key", other)
    assert (code, "would sign" in said) == (5, True)
    signed(bundle, key=private)

    assert signed(bundle, "security", "Grace").verdict is Verdict.GO
    assert keys.fingerprint(public) in (bundle / sign_off.GO_NO_GO).read_text()


def test_a_signature_of_a_wrong_key_that_was_put_there_is_refused(sealed, key, capsys):
    """The forger has a key, and makes the manifest fit."""
    private, public = key("ada")
    other, _ = key("other")
    bundle = sealed(plan=with_key(public))
    ticked(bundle)
    signed(bundle, key=private)
    (path,) = (bundle / sign_off.SIGNATURES).iterdir()
    opened = envelope.opened(path.read_bytes(), "it")
    forged = envelope.wrapped(opened.payload, keys.read_private(other))
    path.write_bytes(forged)
    evidence.seal_after(bundle, "sign-off")

    code, said = command(capsys, "verify", bundle)

    assert code == 1
    assert "its signature is not by the key that it names" in said


def test_a_signature_that_lost_its_key_is_refused(sealed, key):
    private, public = key("ada")
    bundle = sealed(plan=with_key(public))
    signed(bundle, key=private)
    (path,) = (bundle / sign_off.SIGNATURES).iterdir()
    edit_json(path, lambda raw: raw.update(signatures=[]))
    evidence.seal_after(bundle, "sign-off")

    with pytest.raises(EvidenceError, match="is missing"):
        verify(bundle)


def test_a_key_that_the_plan_does_not_ask_for_may_sign_too(bundle, key):
    private, public = key("ada")

    now = signed(bundle, key=private)

    assert now.signatures[0].filed.key == keys.fingerprint(public)


def test_a_key_is_never_written_over(key, tmp_path, capsys):
    private, _ = key("ada")
    before = private.read_bytes()

    assert private.stat().st_mode & 0o777 == 0o600
    assert command(capsys, "keygen", private)[0] == 5
    assert private.read_bytes() == before


# --- other bundles, changed bytes ------------------------------------------------------------------------------------


def test_a_signature_of_another_bundle_is_refused(sealed, tmp_path, capsys):
    """Somebody copies the sign-off of the run that passed into another, and makes the manifest fit."""
    first = sealed()
    everything(first)
    second = sealed()
    shutil.copytree(first / "sign-off", second / "sign-off")

    code, said = command(capsys, "verify", second)
    assert (code, "is about another bundle" in said) == (1, True)
    evidence.seal_after(second, "sign-off")
    code, said = command(capsys, "verify", second)

    assert (code, "is about another bundle" in said) == (1, True)
    assert command(capsys, "report", second, "--output", tmp_path / "report")[0] == 1


def test_a_bundle_that_was_altered_is_not_signed(bundle, capsys):
    with (bundle / "report.md").open("a") as file:
        file.write(" ")

    code, said = sign_command(capsys, bundle)

    assert code == 1
    assert "report.md was altered" in said
    assert not (bundle / "sign-off").exists()


def test_a_changed_byte_of_the_evidence_voids_what_was_signed(bundle):
    """Even if the manifest is made to fit: then the bundle has another digest."""
    everything(bundle)
    (bundle / "artifacts").mkdir(exist_ok=True)
    (bundle / "artifacts" / "more.txt").write_text("more")
    with pytest.raises(EvidenceError, match=r"more\.txt was added"):
        verify(bundle)

    evidence.BundleWriter(bundle).seal()

    with pytest.raises(EvidenceError, match="is about another bundle"):
        verify(bundle)


def test_one_byte_of_any_file_of_the_sign_off_is_noticed(bundle, tmp_path):
    photo = tmp_path / "rota.txt"
    photo.write_text("Ada, Grace")
    ticked(bundle, shown_by=str(photo))
    signed(bundle, risks=(parse_risk(until(3)),))
    files = [file for file in (bundle / "sign-off").rglob("*") if file.is_file()]
    assert len(files) == 7
    for file in files:
        original = file.read_bytes()
        for index in {0, len(original) // 2, len(original) - 1}:
            changed = bytearray(original)
            changed[index] ^= 1
            file.write_bytes(changed)
            with pytest.raises(EvidenceError):
                verify(bundle)
        file.write_bytes(original)
    assert verify(bundle)


@pytest.mark.parametrize("path", ["sign-off/more.txt", "sign-off/ticks/9999-told.json", "sign-off/artifacts/x"])
def test_a_file_that_was_added_to_the_sign_off_is_refused(bundle, path):
    everything(bundle)
    (bundle / path).parent.mkdir(exist_ok=True)
    (bundle / path).write_text("{}")
    with pytest.raises(EvidenceError, match="was added"):
        verify(bundle)

    evidence.seal_after(bundle, "sign-off")

    with pytest.raises(EvidenceError):
        verify(bundle)


def better(raw):
    raw["verdict"] = "GO"
    raw["reasons"] = []


@pytest.mark.parametrize("path", [evidence.DECISION, sign_off.GO_NO_GO])
def test_a_decision_that_its_signatures_do_not_yield_is_refused_although_the_manifest_fits(bundle, path):
    ticked(bundle)
    signed(bundle)
    if path == evidence.DECISION:
        edit_json(bundle / path, better)
    else:
        (bundle / path).write_text((bundle / path).read_text().replace("NO-GO", "GO"))
    evidence.seal_after(bundle, "sign-off")

    with pytest.raises(EvidenceError, match="the evidence yields"):
        verify(bundle)


def test_a_tick_by_somebody_who_may_not_is_refused_although_the_manifest_fits(bundle):
    ticked(bundle)
    (path,) = (bundle / sign_off.TICKS).iterdir()
    edit_json(path, lambda raw: raw.update(name="Mallory"))
    evidence.seal_after(bundle, "sign-off")

    with pytest.raises(EvidenceError, match="is by Mallory, who may not tick"):
        verify(bundle)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"null", b'{"payload": 1, "payloadType": "x", "signatures": []}'])
def test_what_is_no_envelope_is_refused_by_name(bundle, data):
    signed(bundle)
    (path,) = (bundle / sign_off.SIGNATURES).iterdir()
    path.write_bytes(data)
    evidence.seal_after(bundle, "sign-off")

    with pytest.raises(EvidenceError, match=r"0001-release\.dsse\.json is no DSSE envelope"):
        verify(bundle)


def test_a_signature_is_a_dsse_envelope_about_the_manifest(bundle):
    signed(bundle)
    (path,) = (bundle / sign_off.SIGNATURES).iterdir()

    raw = json.loads(path.read_text())
    said = envelope.opened(path.read_bytes(), "it").statement

    assert raw["payloadType"] == "application/vnd.in-toto+json"
    assert said["_type"] == "https://in-toto.io/Statement/v1"
    assert said["subject"] == [
        {"name": "manifest.json", "digest": {"sha256": evidence.bundle_digest(bundle).removeprefix("sha256:")}}
    ]


# --- killed, and two at a time ---------------------------------------------------------------------------------------


def test_a_command_that_was_killed_half_way_leaves_the_bundle_as_it_was(bundle, monkeypatch):
    ticked(bundle)
    before = evidence.read_bytes(bundle, evidence.DECISION)

    def killed(self, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        signed(bundle)
    monkeypatch.undo()

    monkeypatch.setattr(gates, "all_gates", lambda: GATES)
    assert evidence.read_bytes(bundle, evidence.DECISION) == before
    assert verify(bundle).decision == evidence.read_json(bundle, evidence.DECISION, Decision)


def test_what_a_killed_command_left_is_cleared_away_by_the_next(bundle):
    ticked(bundle)
    (bundle / "sign-off").rename(bundle / "sign-off.old")
    (bundle / "sign-off.made").mkdir()
    (bundle / "sign-off.made" / "half.json").write_text("{")

    now = signed(bundle)

    assert now.checklist[1].state is ItemState.DONE
    assert sorted(path.name for path in bundle.glob("sign-off*")) == ["sign-off"]


# --- what other commands make of it ----------------------------------------------------------------------------------


def test_a_comparison_tells_the_verdict_that_people_came_to(bundle):
    before = shutil.copytree(bundle, bundle.parent / "before")
    everything(bundle)

    assert "passed (NO-GO) -> passed (GO)" in "\n".join(told(compare_bundles(before, bundle)))


def test_a_report_of_a_signed_bundle_shows_its_signatures(bundle, tmp_path, capsys):
    everything(bundle)

    assert command(capsys, "report", bundle, "--output", tmp_path / "report", "--format", "html,md")[0] == 0

    page, text = ((tmp_path / "report" / name).read_text() for name in ("report.html", "report.md"))
    assert page == (bundle / sign_off.PAGE).read_text()
    assert text.startswith("# shop: GO\n")
    assert "| security | Grace | go |" in text


def test_a_report_of_a_sign_off_that_was_altered_is_made_on_demand_and_counts_none_of_it(bundle, tmp_path, capsys):
    everything(bundle)
    (bundle / "sign-off" / "more.txt").write_text("x")

    assert command(capsys, "report", bundle, "--output", tmp_path / "report")[0] == 1
    code, said = command(capsys, "report", bundle, "--output", tmp_path / "report", "--altered")

    assert code == 0
    assert "Nothing that was decided since counts" in said
    assert "NO-GO" in (tmp_path / "report" / "report.md").read_text().splitlines()[2]


def seen_in_production(bundle, outcome=Outcome.PASSED):
    result = a_result("go-live", stage=Stage.AFTER_TEARDOWN, outcome=outcome, observation="go-live/observation.json")
    evidence.BundleWriter(bundle).put_json(sign_off.GO_LIVE_RESULT, GateResult, result)
    evidence.seal_after(bundle, "go-live")


@pytest.mark.parametrize(("outcome", "status"), [(Outcome.PASSED, "Met"), (Outcome.FAILED, "Unmet")])
def test_what_was_seen_in_production_shows_in_the_matrix_and_never_in_the_verdict(
    bundle, tmp_path, capsys, monkeypatch, outcome, status
):
    monkeypatch.setattr("readiness.verify.verify_go_live", sign_off.read_go_live)  # its result is written by hand
    everything(bundle)
    seen_in_production(bundle, outcome)

    assert command(capsys, "verify", bundle, "--require-go")[0] == 0
    command(capsys, "report", bundle, "--output", tmp_path / "report", "--format", "md")
    row = next(line for line in (tmp_path / "report" / "report.md").read_text().splitlines() if "in production" in line)
    assert f" {status} | `go-live/result.json` |" in row


def test_what_was_seen_in_production_for_another_bundle_is_refused(sealed, capsys):
    first, second = sealed(), sealed()
    seen_in_production(first)
    shutil.copytree(first / "go-live", second / "go-live")

    code, said = command(capsys, "verify", second)

    assert (code, "is about another bundle" in said) == (1, True)
