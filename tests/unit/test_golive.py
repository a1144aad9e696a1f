"""After the cutover: what is written is bound to its bundle, and can be judged again by anybody."""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from botocore.exceptions import EndpointConnectionError

import readiness
from readiness import evidence, golive
from readiness.cli import command
from readiness.decide import ExitCode
from readiness.decision import SignOff
from readiness.deployed_service import see
from readiness.errors import CloudError, EvidenceError, PlanError, ReadinessError, UsageError
from readiness.evidence import BundleWriter
from readiness.gates import fidelity
from readiness.golive import OBSERVATION, RESULT, Asked, approved_by, ask, reach, verify_go_live
from readiness.model import ChecklistItem, Environment, FiledSignature, Outcome, Record, Signature, Stage
from readiness.run import Request, check_gates
from tests.unit.deployed import GOOD, OTHER
from tests.unit.samples import PLAN, T0, FakeClient, a_narrator, a_plan, a_record, a_result, client_error, edit_json

MANIFEST = "go-live/manifest.json"
DEFINITION = "arn:aws:ecs:eu-west-1:1:task-definition/shop:1"
SETTINGS = '\n[gates.settings.go-live]\nsteady_for = "0s"\nsettle = "0s"\nurl = "{url}"\n'


def clients_of(digest: str = GOOD, state: str = "OK"):
    """Return the clients of an account with one stack of one service."""
    service = {
        "status": "ACTIVE",
        "taskDefinition": DEFINITION,
        "desiredCount": 2,
        "runningCount": 2,
        "pendingCount": 0,
        "deployments": [{"status": "PRIMARY", "rolloutState": "COMPLETED", "taskDefinition": DEFINITION}],
        "loadBalancers": [{"containerName": "service", "containerPort": 80, "targetGroupArn": "group"}],
        "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["a", "b"]}},
    }
    tasks = [
        {
            "taskArn": f"arn:aws:ecs:eu-west-1:1:task/c/{zone}",
            "taskDefinitionArn": DEFINITION,
            "lastStatus": "RUNNING",
            "availabilityZone": zone,
            "containers": [{"name": "service", "image": "shop:1", "imageDigest": digest}],
        }
        for zone in ("a", "b")
    ]
    resources = (("AWS::ECS::Service", "arn:aws:ecs:eu-west-1:1:service/c/shop"), ("AWS::CloudWatch::Alarm", "errors"))
    return {
        "cloudformation": FakeClient(
            describe_stacks=lambda StackName: (
                {"Stacks": [{"StackName": "shop", "StackStatus": "CREATE_COMPLETE"}]}
                if StackName == "shop"
                else client_error("ValidationError")
            ),
            list_stack_resources={
                "StackResourceSummaries": [
                    {"ResourceType": kind, "PhysicalResourceId": name} for kind, name in resources
                ]
            },
        ),
        "ecs": FakeClient(
            describe_services={"services": [service]},
            describe_task_definition={
                "taskDefinition": {"cpu": "512", "containerDefinitions": [{"name": "service", "image": "shop:1"}]}
            },
            list_tasks={"taskArns": ["1", "2"]},
            describe_tasks={"tasks": tasks},
        ),
        "elbv2": FakeClient(
            describe_target_groups={"TargetGroups": [{"HealthCheckPath": "/health"}]},
            describe_target_health={"TargetHealthDescriptions": [{"TargetHealth": {"State": "healthy"}}] * 2},
        ),
        "ec2": FakeClient(describe_subnets={"Subnets": [{"AvailabilityZone": "a"}, {"AvailabilityZone": "b"}]}),
        "cloudwatch": FakeClient(describe_alarms={"MetricAlarms": [{"AlarmName": "errors", "StateValue": state}]}),
    }


@pytest.fixture
def health(monkeypatch):
    """Answer every probe with 200."""
    monkeypatch.setattr("readiness.probe.get", lambda url, timeout_s: 200)


@pytest.fixture
def bundle(tmp_path):
    """A sealed bundle of a rehearsal in which the service of ``clients_of`` was approved."""
    seen = fidelity.Observation(
        service=see(clients_of().__getitem__, "c", "shop"), planned={}, template={}, planned_count=2
    )
    writer = BundleWriter(tmp_path / "bundle")
    writer.put(evidence.PLAN, (PLAN + SETTINGS.replace("{url}", "http://shop")).encode())
    writer.put(evidence.WAIVERS, b"")
    path = writer.put_json(evidence.observation_path("fidelity"), fidelity.Observation, seen)
    now = datetime.now(UTC)
    record = a_record(a_result("fidelity", observation=path), started_at=now, decided_at=now)
    writer.put_json(evidence.RECORD, Record, record)
    writer.seal()
    return writer.root


@pytest.fixture
def account(monkeypatch):
    """Stand for the account; its clients can be changed."""
    there = SimpleNamespace(
        clients=clients_of(), environment=Environment.EMULATED, account="123456789012", region="eu-west-1"
    )
    there.client = lambda service: there.clients[service]
    monkeypatch.setattr(golive, "reach", lambda asked, frozen: there)
    return there


def asked_of(bundle, **changes) -> Asked:
    told = {"bundle": bundle, "stack": "shop", "target": "embedded-endpoint", "commit": "c0ffee" * 6}
    return Asked(**told | {"repository": bundle.parent} | changes)


def looked(bundle, **changes):
    return ask(asked_of(bundle, **changes), a_narrator()[0])


# --- asking ----------------------------------------------------------------------------------------------------------


def test_what_was_seen_and_what_it_came_to_are_bound_to_the_bundle(bundle, account, health):
    before = evidence.bundle_digest(bundle)

    result, environment = looked(bundle)

    assert (result.outcome, environment) == (Outcome.PASSED, Environment.EMULATED)
    assert (result.stage, result.observation) == (Stage.AFTER_CUTOVER, "go-live/observation.json")
    manifest = json.loads((bundle / MANIFEST).read_text())
    assert manifest["bundle"] == before == evidence.bundle_digest(bundle)
    assert set(manifest["files"]) == {OBSERVATION, RESULT}
    assert evidence.check_manifest(bundle) == 4
    assert verify_go_live(bundle) == result


def test_what_was_signed_after_now_is_refused_and_not_left_out(bundle, account, health, monkeypatch):
    late = datetime.now(UTC) + timedelta(hours=1)
    signed = Signature(role="release", name="Ada", decision="no-go", at=late, plan="sha256:1", seen_ticks={})
    filed = FiledSignature(signature=signed, path="sign-off/signatures/001.json")
    monkeypatch.setattr(golive.sign_off, "read", lambda folder, plan: SignOff(signatures=(filed,)))

    with pytest.raises(EvidenceError, match=r"after now: sign-off/signatures/001\.json"):
        looked(bundle)


def test_another_image_is_no_go(bundle, account, health):
    account.clients = clients_of(OTHER)

    result, _ = looked(bundle)

    assert result.outcome is Outcome.FAILED
    assert [each.finding.rule for each in result.findings] == ["go-live/other-digest"]
    assert verify_go_live(bundle) == result


def test_what_could_not_be_asked_is_inconclusive_and_can_be_verified(bundle, account, health):
    account.clients["elbv2"] = FakeClient(describe_target_groups=client_error("AccessDenied"))

    result, _ = looked(bundle)

    assert result.outcome is Outcome.INCONCLUSIVE
    assert result.observation is None
    assert "AccessDenied" in result.judgement.gaps[0].why
    assert verify_go_live(bundle) == result


def test_a_bug_is_inconclusive_and_leaves_the_sealed_evidence_as_it_is(bundle, account, health):
    account.clients["cloudwatch"] = FakeClient(describe_alarms={"MetricAlarms": [{}]})

    result, _ = looked(bundle)

    assert result.outcome is Outcome.INCONCLUSIVE
    assert "KeyError" in result.judgement.gaps[0].why
    assert (bundle / "go-live" / "artifacts" / "tracebacks" / "go-live.txt").exists()
    assert evidence.check_manifest(bundle) == 4
    assert verify_go_live(bundle) == result


def test_a_second_look_replaces_the_first(bundle, account, health):
    account.clients = clients_of(OTHER)
    looked(bundle)
    account.clients = clients_of()

    assert looked(bundle)[0].outcome is Outcome.PASSED
    assert verify_go_live(bundle).outcome is Outcome.PASSED


def test_two_looks_at_once_are_refused(bundle, account, health):
    folder = os.open(bundle, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    try:
        with pytest.raises(ReadinessError, match="Another `readiness go-live` is at work"):
            looked(bundle)
    finally:
        os.close(folder)


def test_the_clone_is_not_production(bundle, account):
    outputs = [{"OutputKey": "RunId", "OutputValue": "20260301-120000-abcd"}]
    told = {"StackName": "shop", "StackStatus": "CREATE_COMPLETE", "Outputs": outputs}
    account.clients["cloudformation"].answers["describe_stacks"] = {"Stacks": [told]}

    with pytest.raises(UsageError, match="is the clone that was approved"):
        looked(bundle)


def test_a_bundle_without_fidelity_approves_nothing(tmp_path):
    writer = BundleWriter(tmp_path)
    writer.put(evidence.PLAN, PLAN.encode())
    writer.put(evidence.WAIVERS, b"")
    writer.put_json(evidence.RECORD, Record, a_record(a_result("numbers")))
    writer.seal()

    approved = approved_by(tmp_path, T0)

    assert (approved.fidelity, approved.service, approved.digests) == (None, {}, {})


def test_a_run_that_may_have_left_something_behind_did_not_pass(tmp_path):
    writer = BundleWriter(tmp_path)
    writer.put(evidence.PLAN, PLAN.encode())
    writer.put(evidence.WAIVERS, b"")
    writer.put_json(evidence.RECORD, Record, a_record(a_result("numbers"), leftovers=("a stack",)))
    writer.seal()

    assert approved_by(tmp_path, T0).outcome is Outcome.INCONCLUSIVE


# --- reaching production ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", ["", "https://ecs.eu-west-1.amazonaws.com", "http://10.0.0.1:4566", "http://["])
def test_an_embedded_endpoint_is_on_loopback(bundle, monkeypatch, endpoint):
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)

    with pytest.raises(UsageError, match="no endpoint on loopback"):
        reach(asked_of(bundle), a_plan())


def test_an_embedded_aws_that_does_not_answer_is_a_sentence(bundle, monkeypatch):
    def refuse(endpoint, region, time_scale):
        raise EndpointConnectionError(endpoint_url=endpoint)

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setattr(golive, "connect_embedded", refuse)

    with pytest.raises(CloudError, match=r"Asking the embedded AWS at http://127\.0\.0\.1:1 who it is failed"):
        reach(asked_of(bundle), a_plan())


def test_what_is_called_aws_has_to_be_aws(bundle, monkeypatch):
    connection = SimpleNamespace(endpoint="https://one.execute-api.eu-west-1.amazonaws.com")
    monkeypatch.setattr(golive, "connect_aws", lambda region, accounts: connection)

    with pytest.raises(UsageError, match="which is not AWS"):
        reach(asked_of(bundle, target="aws"), a_plan())


def test_aws_is_asked_in_the_region_that_was_named(bundle, monkeypatch):
    connection = SimpleNamespace(endpoint="", client=lambda service: None)
    regions = []
    monkeypatch.setattr(golive, "connect_aws", lambda region, accounts: regions.append(region) or connection)

    assert reach(asked_of(bundle, target="aws", region="eu-north-1"), a_plan()) is connection
    assert reach(asked_of(bundle, target="aws"), a_plan()) is connection
    assert regions == ["eu-north-1", "eu-west-1"]


# --- judging again ---------------------------------------------------------------------------------------------------


def test_a_bundle_of_what_never_went_live_has_nothing_to_judge(bundle):
    assert verify_go_live(bundle) is None


def forge(bundle, name, change):
    """Change a file of the look, and make the manifest fit it."""
    edit_json(bundle / name, change)
    digest = evidence.sha256((bundle / name).read_bytes())
    edit_json(bundle / MANIFEST, lambda raw: raw["files"].update({name: digest}))


@pytest.mark.parametrize("name", [OBSERVATION, RESULT])
def test_a_changed_byte_is_found(bundle, account, health, name):
    looked(bundle)
    edit_json(bundle / name, lambda raw: raw)
    with (bundle / name).open("a") as file:
        file.write(" ")

    with pytest.raises(EvidenceError, match=f"{name} was altered"):
        verify_go_live(bundle)


def test_a_file_more_or_less_is_found(bundle, account, health):
    looked(bundle)
    (bundle / "go-live" / "more").write_text("")
    with pytest.raises(EvidenceError, match="more was added"):
        verify_go_live(bundle)
    (bundle / "go-live" / "more").unlink()
    (bundle / RESULT).unlink()
    with pytest.raises(EvidenceError, match=r"result\.json is missing"):
        verify_go_live(bundle)


def test_a_look_that_was_cut_off_is_found(bundle, account, health):
    looked(bundle)
    (bundle / MANIFEST).unlink()

    with pytest.raises(EvidenceError, match="was cut off"):
        verify_go_live(bundle)


def test_a_look_for_another_bundle_is_found(bundle, account, health):
    looked(bundle)
    BundleWriter(bundle).put("more", b"")
    BundleWriter(bundle).seal()

    with pytest.raises(EvidenceError, match="is about another bundle"):
        verify_go_live(bundle)


def test_a_result_that_the_observation_does_not_yield_is_found(bundle, account, health):
    account.clients = clients_of(OTHER)
    looked(bundle)
    forge(bundle, RESULT, lambda raw: raw.update(outcome="passed"))

    with pytest.raises(EvidenceError, match="says passed, but its observation yields another result: failed") as raised:
        verify_go_live(bundle)
    assert readiness.__version__ in raised.value.hint


def test_an_approval_that_is_not_the_bundles_is_found(bundle, account, health):
    account.clients = clients_of(OTHER)
    looked(bundle)
    forge(bundle, OBSERVATION, lambda raw: raw["approved"].update(digests={"service": [OTHER]}))

    with pytest.raises(EvidenceError, match="another approval than"):
        verify_go_live(bundle)


def signed(at: datetime) -> SignOff:
    """Return a no-go of the release owner."""
    signature = Signature(role="release", name="Ada", decision="no-go", at=at, plan="sha256:1")
    return SignOff(bundle="sha256:1", signatures=(FiledSignature(signature=signature, path="sign-off/signatures/1"),))


def test_what_people_decide_later_changes_nothing_of_what_was_seen(bundle, account, health, monkeypatch):
    result, _ = looked(bundle)

    monkeypatch.setattr("readiness.sign_off.read", lambda root, plan: signed(datetime.now(UTC)))
    assert verify_go_live(bundle) == result
    monkeypatch.setattr("readiness.sign_off.read", lambda root, plan: signed(T0))
    with pytest.raises(EvidenceError, match="another approval than"):
        verify_go_live(bundle)


def test_a_result_without_an_observation_can_claim_nothing(bundle, account, health):
    looked(bundle)
    forge(bundle, RESULT, lambda raw: raw.update(observation=None))

    with pytest.raises(EvidenceError, match="claims to have seen nothing"):
        verify_go_live(bundle)


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def verified(monkeypatch):
    """Take the bundle for verified: it holds a record that was written by hand."""
    monkeypatch.setattr("readiness.verify.verify", lambda bundle, gone_live: None)


ARGUMENTS = ("--stack", "shop", "--commit", "c0ffee" * 6)


def test_production_as_approved_is_exit_code_0(bundle, account, health, verified, capsys):
    assert command(["go-live", str(bundle), *ARGUMENTS]) == ExitCode.GO
    assert "go-live: passed (rehearsal: emulated)" in capsys.readouterr().out


def test_the_wrong_image_is_exit_code_2_and_a_blind_look_1(bundle, account, health, verified, capsys):
    account.clients = clients_of(OTHER)
    assert command(["go-live", str(bundle), *ARGUMENTS]) == ExitCode.NO_GO
    assert f"CRITICAL service: Production runs {OTHER}; approved was {GOOD}" in capsys.readouterr().out

    account.clients = clients_of(state="INSUFFICIENT_DATA")
    assert command(["go-live", str(bundle), *ARGUMENTS]) == ExitCode.NO_RELIABLE_VERDICT
    assert "not seen: alarm errors: is INSUFFICIENT_DATA" in capsys.readouterr().out


def test_a_stack_that_is_not_there_is_exit_code_5_and_a_sentence(bundle, account, verified, capsys):
    assert command(["go-live", str(bundle), "--stack", "other"]) == ExitCode.USAGE
    assert "There is no stack 'other' in eu-west-1 of account 123456789012" in capsys.readouterr().err
    assert not (bundle / "go-live").exists()


def test_what_is_no_bundle_or_was_altered_is_exit_code_1_and_nothing_is_asked(bundle, account, tmp_path, capsys):
    account.clients = {}
    assert command(["go-live", str(tmp_path / "none"), *ARGUMENTS]) == ExitCode.NO_RELIABLE_VERDICT
    (bundle / evidence.PLAN).write_text("")
    assert command(["go-live", str(bundle), *ARGUMENTS]) == ExitCode.NO_RELIABLE_VERDICT
    assert "plan.toml was altered" in capsys.readouterr().err


@pytest.mark.parametrize("commit", ["main", "", "c0ffe", "v1.2.3"])
def test_a_commit_is_named_by_its_sha(bundle, verified, capsys, commit):
    assert command(["go-live", str(bundle), "--stack", "shop", "--commit", commit]) == ExitCode.USAGE
    assert "is no commit" in capsys.readouterr().err


def test_a_bundle_of_another_version_says_which_one_can_read_it(bundle, account, capsys):
    edit_json(bundle / evidence.RECORD, lambda raw: raw.update(harness_version="99.0", novelty=1))
    BundleWriter(bundle).seal()

    assert command(["go-live", str(bundle), *ARGUMENTS]) == ExitCode.NO_RELIABLE_VERDICT
    said = capsys.readouterr().err
    assert "is no Record: novelty" in said
    assert f"readiness 99.0 made it, and this is {readiness.__version__}" in said


def test_a_stack_has_to_be_named(bundle, capsys):
    with pytest.raises(SystemExit) as left:
        command(["go-live", str(bundle)])
    assert left.value.code == ExitCode.USAGE


def test_a_run_neither_requires_nor_asks_it_and_takes_its_settings(tmp_path):
    request = Request(repository=tmp_path, plan_file=tmp_path / "p", waivers_file=tmp_path / "w", target="embedded")
    plan = a_plan()
    required = replace(plan, gates=replace(plan.gates, required=("go-live",)))
    allowed = replace(plan, gates=replace(plan.gates, required=("load",), settings={"go-live": {"max_age": "1d"}}))

    with pytest.raises(PlanError, match="is asked after the cutover, so no run can pass it"):
        check_gates(required, request)
    check_gates(allowed, request)
    item = ChecklistItem(id="live", text="It is live", gate="go-live")
    with pytest.raises(PlanError, match="what rests on it would never be done before"):
        check_gates(replace(allowed, checklist=(item,)), request)
    with pytest.raises(UsageError, match="a run does not ask go-live"):
        check_gates(allowed, replace(request, only=("go-live",)))
