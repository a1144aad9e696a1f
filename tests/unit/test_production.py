"""Never in production: where nothing is started, and what is never drilled."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError

from readiness import contract
from readiness.errors import CloudError, PlanError
from readiness.model import AwsSettings, Clone
from readiness.production import NotOursError, prove_ours, refuse
from tests.unit.samples import T0, a_plan

RUN = "20260301-120000-abcd"
CLONE = Clone(
    run_id=RUN, stack_name=f"readiness-{RUN}", stack_id="arn:stack", outputs={"Cluster": "ours"}, expires_at=T0
)


class Stacks:
    """CloudFormation, as far as it describes stacks."""

    def __init__(self, *stacks, error=None):
        self.stacks, self.error = stacks, error

    def describe_stacks(self, StackName):
        if self.error:
            raise self.error
        return {"Stacks": [each for each in self.stacks if StackName in (each.get("StackId"), each["StackName"])]}

    def get_paginator(self, operation):
        assert operation == "describe_stacks"
        if self.error:
            raise self.error
        return SimpleNamespace(paginate=lambda: [{"Stacks": [each]} for each in self.stacks])


def stack(**changes):
    tags = [{"Key": contract.TAG_RUN_ID, "Value": RUN}]
    outputs = [{"OutputKey": "Cluster", "OutputValue": "ours"}]
    return {"StackName": CLONE.stack_name, "StackId": "arn:stack", "Tags": tags, "Outputs": outputs} | changes


def plan(*patterns):
    return replace(a_plan(), aws=AwsSettings(production_stacks=patterns))


def connected(*stacks, error=None):
    return SimpleNamespace(account="123456789012", client=lambda service: Stacks(*stacks, error=error))


def prove(*stacks, clone=CLONE, run_id=RUN, patterns=(), error=None):
    prove_ours(lambda service: Stacks(*stacks, error=error), clone, run_id, plan(*patterns))


# --- where nothing is started ----------------------------------------------------------------------------------------


def test_an_account_with_a_stack_of_production_is_refused():
    with pytest.raises(PlanError, match="has a stack Prod-Web") as raised:
        refuse(connected(stack(), {"StackName": "Prod-Web"}), plan("prod-*"), "readiness-x")
    assert raised.value.key == "aws.production_stacks"


def test_an_account_without_one_is_not():
    refuse(connected(stack(), {"StackName": "staging-web"}), plan("prod-*", "live"), "readiness-x")


def test_a_clone_that_would_be_called_like_production_is_refused():
    with pytest.raises(PlanError, match="it would make readiness-prod"):
        refuse(connected(), plan("*prod"), "readiness-prod")


def test_an_account_that_does_not_say_is_refused():
    denied = ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "DescribeStacks")
    with pytest.raises(CloudError, match="Listing the stacks"):
        refuse(connected(error=denied), plan("prod-*"), "readiness-x")


def test_without_patterns_nobody_is_asked():
    refuse(SimpleNamespace(account="1", client=None), plan(), "readiness-x")


# --- what is never drilled -------------------------------------------------------------------------------------------


def test_the_runs_own_clone_is_drilled():
    prove(stack())


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (stack(Tags=[]), "carries no tag readiness:run-id"),
        (stack(Tags=[{"Key": contract.TAG_RUN_ID, "Value": "20260301-120000-ffff"}]), "run-id is 20260301-120000-ffff"),
        (stack(Outputs=[{"OutputKey": "Cluster", "OutputValue": "theirs"}]), "output Cluster is not what"),
        (stack(Outputs=[]), "output Cluster is not what"),
    ],
)
def test_a_stack_that_is_not_shown_to_be_this_runs_is_refused(found, said):
    with pytest.raises(NotOursError, match=said):
        prove(found)


def test_a_clone_of_another_run_is_refused_although_its_stack_carries_that_runs_tag():
    with pytest.raises(NotOursError, match="this run is 20260301-120000-ffff"):
        prove(stack(), run_id="20260301-120000-ffff")


def test_a_stack_that_the_plan_calls_production_is_refused_even_with_our_tag():
    with pytest.raises(NotOursError, match="production_stacks forbids"):
        prove(stack(StackName="prod"), clone=replace(CLONE, stack_name="prod"), patterns=("prod",))


def test_a_stack_that_is_gone_or_not_told_of_is_refused():
    with pytest.raises(NotOursError, match="cannot be told"):
        prove()
    denied = ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "DescribeStacks")
    with pytest.raises(NotOursError, match="cannot be told"):
        prove(stack(), error=denied)
