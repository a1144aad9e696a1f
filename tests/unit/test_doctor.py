"""The preflight: each check is ok, a fault, or cannot tell; and what cannot be told is never fine."""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from readiness import doctor, permissions
from readiness.doctor import CannotTellError, Check, ask, demand, for_aws, for_embedded, local, sample_context
from readiness.errors import ReadinessError
from readiness.model import AwsSettings, Network
from tests.unit.samples import a_plan

ROLE = "arn:aws:iam::123456789012:role/ci/readiness"


def refused(code, operation="Any"):
    return ClientError({"Error": {"Code": code, "Message": "no"}}, operation)


class Account:
    """An AWS account, as far as the doctor asks; each answer may be an error instead."""

    account, region = "123456789012", "eu-west-1"

    def __init__(self, **answers):
        self.answers = answers
        self.simulated = []

    def client(self, service):
        return self

    def _answer(self, name, default):
        found = self.answers.get(name, default)
        if isinstance(found, Exception):
            raise found
        return found

    def get_caller_identity(self):
        arn = self._answer("caller", "arn:aws:sts::123456789012:assumed-role/readiness/session")
        return {"Arn": arn}

    def get_role(self, RoleName):
        assert RoleName == "readiness"
        return {"Role": {"Arn": ROLE}}

    def get_parameter(self, Name):
        return {"Parameter": {"Value": self._answer("bootstrap", "28")}}

    def get_service_quota(self, ServiceCode, QuotaCode):
        return {"Quota": {"Value": self._answer("quota", 64.0)}}

    def get_aws_default_service_quota(self, ServiceCode, QuotaCode):
        return {"Quota": {"Value": self._answer("default", 5.0)}}

    def describe_vpcs(self):
        return {"Vpcs": self._answer("vpcs", [1])}

    def describe_addresses(self):
        return {"Addresses": self._answer("addresses", [])}

    def get_paginator(self, operation):
        stacks = self._answer("stacks", [])
        return SimpleNamespace(paginate=lambda: [{"Stacks": [{"StackName": name} for name in stacks]}])

    def simulate_principal_policy(self, PolicySourceArn, ActionNames, ResourceArns, ContextEntries):
        self._answer("simulation", None)
        self.simulated.append((PolicySourceArn, ActionNames, ResourceArns, ContextEntries))
        denied = self.answers.get("denied", ())
        return {
            "EvaluationResults": [
                {"EvalActionName": name, "EvalDecision": "implicitDeny" if name in denied else "allowed"}
                for name in ActionNames
            ]
        }


def plan(**changes):
    made = a_plan()
    return replace(
        made,
        aws=AwsSettings(production_accounts=("999999999999",), production_stacks=("prod-*",)),
        fleet=replace(made.fleet, image="fleet:1"),
        **changes,
    )


def checked(account, of=None) -> dict[str, Check]:
    return {each.name: each for each in for_aws(account, of or plan())}


# --- what a check comes to -------------------------------------------------------------------------------------------


def test_what_was_seen_is_ok_and_an_error_of_ours_is_a_fault_with_the_next_thing_to_do():
    def broken():
        raise ReadinessError("It is broken.", hint="Mend it.")

    assert ask("a", lambda: "there") == Check(name="a", standing="ok", said="there")
    assert ask("a", broken) == Check(name="a", standing="fault", said="It is broken.", then="Mend it.")


@pytest.mark.parametrize(
    "error",
    [refused("AccessDenied"), refused("Throttling"), EndpointConnectionError(endpoint_url="x"), CannotTellError("no")],
)
def test_what_could_not_be_asked_cannot_be_told(error):
    def look():
        raise error

    assert ask("a", look).standing == "cannot tell"


def test_only_a_fault_stops_a_run_and_all_of_them_are_named():
    ok, unknown = Check(name="a", standing="ok", said=""), Check(name="b", standing="cannot tell", said="")
    demand([ok, unknown])
    with pytest.raises(ReadinessError, match="c: bad; d: worse") as raised:
        demand([ok, Check(name="c", standing="fault", said="bad"), Check(name="d", standing="fault", said="worse")])
    assert "readiness doctor" in raised.value.hint


# --- this machine ----------------------------------------------------------------------------------------------------


def test_a_file_where_evidence_should_go_is_a_fault(tmp_path):
    (tmp_path / ".readiness").write_text("")
    assert {each.name: each for each in local(tmp_path)}["disk"].standing == "fault"


def test_a_full_disk_is_a_fault(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: SimpleNamespace(free=10_000))
    assert {each.name: each for each in local(tmp_path)}["disk"].standing == "fault"


def test_a_repository_without_the_cdk_is_a_fault_that_says_make_setup(tmp_path):
    cdk = {each.name: each for each in local(tmp_path)}["CDK"]
    assert (cdk.standing, cdk.then) == ("fault", "Run `make setup`.")


def test_an_image_whose_command_is_no_program_is_a_fault(tmp_path):
    made = a_plan()
    images = {"shop:1": (str(tmp_path / "shop"),), "other:1": ("{python}", "-m", "x"), "none:1": ()}
    found = {
        each.name: each.standing for each in for_embedded(replace(made, embedded=replace(made.embedded, images=images)))
    }

    assert found["image shop:1"] == "fault"
    assert found["image none:1"] == "fault"
    assert found["image other:1"] == "ok"
    assert found["loopback"] == "ok"


# --- the account -----------------------------------------------------------------------------------------------------


def test_an_account_with_all_that_is_needed_is_ok():
    assert {each.standing for each in checked(Account()).values()} == {"ok"}


@pytest.mark.parametrize(
    ("answers", "name", "said"),
    [
        ({"bootstrap": refused("ParameterNotFound")}, "CDK bootstrap", "not bootstrapped"),
        ({"bootstrap": "6"}, "CDK bootstrap", "has version 6"),
        ({"bootstrap": "?"}, "CDK bootstrap", "has version ?"),
        ({"quota": 1.0}, "quota: Fargate vCPUs", "may run 1 vCPUs"),
        ({"quota": 5.0, "vpcs": [1, 2, 3, 4, 5]}, "quota: VPCs", "5 of 5 Vpcs"),
        ({"quota": 2.0, "addresses": [1, 2]}, "quota: Elastic IPs", "2 of 2 Addresses"),
        ({"denied": ("ecs:RunTask",)}, "permissions", "may not: ecs:RunTask"),
        ({"stacks": ["prod-web"]}, "production", "has a stack prod-web"),
    ],
)
def test_what_is_missing_is_a_fault(answers, name, said):
    found = checked(Account(**answers))[name]

    assert found.standing == "fault"
    assert said in found.said
    assert found.then


@pytest.mark.parametrize(
    ("answers", "name"),
    [
        ({"bootstrap": refused("AccessDeniedException")}, "CDK bootstrap"),
        ({"quota": refused("AccessDeniedException")}, "quota: Fargate vCPUs"),
        ({"simulation": refused("AccessDenied")}, "permissions"),
        ({"caller": "arn:aws:iam::123456789012:root"}, "permissions"),
        ({"stacks": refused("AccessDenied")}, "production"),
    ],
)
def test_what_the_account_does_not_let_us_see_cannot_be_told_and_is_never_ok(answers, name):
    assert checked(Account(**answers))[name].standing != "ok"


def test_a_plan_that_names_no_production_cannot_be_told_to_keep_out_of_it():
    assert checked(Account(), replace(plan(), aws=AwsSettings()))["production"].standing == "cannot tell"


def test_a_quota_that_was_never_raised_is_awss_default():
    found = checked(Account(quota=refused("NoSuchResourceException"), default=5.0, vpcs=[1, 2]))["quota: VPCs"]
    assert found.said == "2 of 5 are in use"


def test_an_imported_network_needs_no_vpc_and_no_address():
    network = Network(vpc_id="v", availability_zones=("a",), private_subnet_ids=("s",), isolated_subnet_ids=("i",))
    assert "quota: VPCs" not in checked(Account(), plan(network=network))


def test_without_docker_the_fleets_image_has_to_be_named(monkeypatch):
    monkeypatch.setattr(doctor.shutil, "which", lambda program: None)
    made = plan()

    assert checked(Account(), made)["fleet image"].standing == "ok"
    unnamed = replace(made, fleet=replace(made.fleet, image=None))
    assert checked(Account(), unnamed)["fleet image"].standing == "fault"


def test_every_action_of_the_policy_is_simulated_for_the_role_on_what_the_policy_would_allow():
    account = Account()
    checked(account)

    assert {principal for principal, *_ in account.simulated} == {ROLE}
    asked = {action for _, names, *_ in account.simulated for action in names}
    assert asked == set(permissions.actions(permissions.shipped()))
    for statement, (_, _, resources, context) in zip(
        permissions.shipped()["Statement"], account.simulated, strict=True
    ):
        allowed = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
        assert all(any(fnmatchcase(each, pattern) for pattern in allowed) for each in resources)
        wanted = {key for keys in statement.get("Condition", {}).values() for key in keys}
        assert {each["ContextKeyName"] for each in context} == wanted


def test_the_account_of_the_caller_stands_for_the_policys_variable():
    (entry,) = sample_context({"StringEquals": {"aws:ResourceAccount": "${aws:PrincipalAccount}"}}, "123456789012")
    assert entry["ContextKeyValues"] == ["123456789012"]
