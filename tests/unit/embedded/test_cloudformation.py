"""The rules of stacks, on resources that fail when they are told to."""

from __future__ import annotations

import json
import threading
from typing import ClassVar

import pytest
from botocore.exceptions import ClientError

from readiness.embedded import moto_adapter
from readiness.embedded.cloudformation import CloudFormation
from readiness.embedded.moto_adapter import AwsError
from readiness.embedded.resources import ENTRIES, Resource, ResourceError
from readiness.embedded.resources.base import words
from readiness.embedded.settings import EmbeddedSettings


class Thing(Resource):
    """A resource that lives in a dictionary, and fails on demand."""

    TYPE = "Test::Thing"
    PROPERTIES = words("Name Color Size Fails Blocks Needs Tags")
    IN_PLACE = words("Color Fails Needs Tags")
    NAME = "Name"
    TAGGED = True
    world: ClassVar[dict[str, dict]] = {}
    story: ClassVar[list[str]] = []
    undeletable: ClassVar[set[str]] = set()
    gate: ClassVar[threading.Event] = threading.Event()
    reached: ClassVar[threading.Event] = threading.Event()

    def create(self):
        if self.get("Blocks"):
            Thing.reached.set()
            self.wait("the test", Thing.gate.is_set, deadline_s=10, interval_s=0.01)
        if self.get("Fails") == "create":
            raise ResourceError("it was told to fail")
        self.physical_id = self.name(longest=255)
        Thing.world[self.id] = {"tags": self.tags(), "color": self.get("Color")}
        self._tell("create")
        self.attributes = {"Arn": f"arn:{self.id}"}
        if self.get("Fails") == "late":
            raise ResourceError("it failed after it was made")

    def update(self, changed, before):
        self._tell("update")
        if self.get("Fails") == "update":
            raise ResourceError("it was told to fail")
        Thing.world[self.id] = {"tags": self.tags(), "color": self.get("Color")}

    def delete(self):
        if self.context.logical_id in Thing.undeletable:
            raise ResourceError("it holds on")
        if self.id not in Thing.world:
            raise ClientError({"Error": {"Code": "NoSuchThing", "Message": "gone"}}, "DeleteThing")
        del Thing.world[self.id]
        self._tell("delete")

    def delete_with_snapshot(self):
        self.delete()
        self._tell("snapshot")

    def _tell(self, what):
        Thing.story.append(f"{what} {self.context.logical_id}")


@pytest.fixture
def api(monkeypatch, tmp_path):
    monkeypatch.setitem(ENTRIES, Thing.TYPE, Thing)
    Thing.world, Thing.story, Thing.undeletable = {}, [], set()
    Thing.gate, Thing.reached = threading.Event(), threading.Event()
    moto_adapter.reset_state()
    engine = CloudFormation(EmbeddedSettings(state_dir=tmp_path), moto_adapter.in_process_client)
    yield Api(engine)
    Thing.gate.set()
    engine.stop()


class Api:
    def __init__(self, engine):
        self._engine = engine

    def __call__(self, operation, **params):
        return self._engine.actions["cloudformation"][operation](params)

    def settled(self, name):
        """Wait for the operation of a stack, by its thread and not by the clock."""
        stack = self._engine._find(name)
        while True:
            thread = stack.operation
            thread.join(20)
            assert not thread.is_alive(), "the stack operation did not end"
            if stack.operation is thread:
                return self("DescribeStacks", StackName=stack.id)["Stacks"][0]

    def create(self, resources, *, settle=True, **more):
        body = json.dumps({"Resources": resources, **more.pop("sections", {})})
        stack_id = self("CreateStack", StackName=more.pop("name", "s"), TemplateBody=body, **more)["StackId"]
        return self.settled(stack_id) if settle else stack_id

    def update(self, resources, **more):
        body = json.dumps({"Resources": resources, **more.pop("sections", {})})
        self("UpdateStack", StackName="s", TemplateBody=body, **more)
        return self.settled("s")

    def delete(self, name="s", **more):
        stack_id = self._engine._find(name).id
        self("DeleteStack", StackName=name, **more)
        return self.settled(stack_id)

    def events(self, stack_id):
        told = self("DescribeStackEvents", StackName=stack_id)["StackEvents"]
        return [(e["LogicalResourceId"], e["ResourceStatus"], e["ResourceStatusReason"]) for e in reversed(told)]

    def statuses(self, stack_id):
        return [(logical_id, status) for logical_id, status, _ in self.events(stack_id)]


def thing(**properties):
    attributes = {key: properties.pop(key) for key in list(properties) if key in _ATTRIBUTES}
    return {"Type": "Test::Thing", "Properties": properties, **attributes}


_ATTRIBUTES = ("DependsOn", "DeletionPolicy", "UpdateReplacePolicy", "Condition", "Metadata")


def needing(name, **properties):
    return thing(Needs={"Fn::GetAtt": [name, "Arn"]}, **properties)


def test_resources_are_made_in_order_and_deleted_in_reverse(api):
    stack = api.create({"B": needing("A"), "A": thing(), "C": needing("B")})
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    assert api.delete()["StackStatus"] == "DELETE_COMPLETE"
    made, deleted = Thing.story[:3], Thing.story[3:]
    assert made == ["create A", "create B", "create C"]
    assert deleted == ["delete C", "delete B", "delete A"]
    assert not Thing.world


def test_a_type_that_is_not_known_fails_the_stack_by_name_and_makes_nothing(api):
    stack = api.create({"A": thing(), "Cat": {"Type": "AWS::QuantumLedger::Cat"}})
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    reasons = {logical_id: reason for logical_id, status, reason in api.events("s") if status == "CREATE_FAILED"}
    assert "AWS::QuantumLedger::Cat" in reasons["Cat"]
    assert Thing.story == []


def test_a_property_that_is_not_known_fails_the_stack_by_name(api):
    stack = api.create({"A": thing(Flavour="x")})
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    assert any(status == "CREATE_FAILED" and "Flavour" in reason for _, status, reason in api.events("s"))


def test_a_nested_property_that_is_not_known_fails_the_stack_by_its_path(api):
    body = {"Q": {"Type": "AWS::SNS::Topic", "Properties": {"Subscription": [{"Protocoll": "sqs"}]}}}
    assert api.create(body)["StackStatus"] == "ROLLBACK_COMPLETE"
    assert any(status == "CREATE_FAILED" and "Protocoll" in reason for _, status, reason in api.events("s"))


def test_a_failed_creation_is_rolled_back_and_tells_the_true_reason_first(api):
    stack = api.create({"A": thing(), "B": thing(DependsOn="A", Fails="create"), "C": thing(DependsOn="B")})
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    assert not Thing.world
    failed = [event for event in api.events("s") if event[1].endswith("FAILED")]
    assert failed == [("B", "CREATE_FAILED", "it was told to fail")]
    assert [status for logical_id, status in api.statuses("s") if logical_id == "s"] == [
        "CREATE_IN_PROGRESS",
        "ROLLBACK_IN_PROGRESS",
        "ROLLBACK_COMPLETE",
    ]


def test_what_failed_after_it_was_made_is_deleted_too(api):
    assert api.create({"A": thing(Fails="late")})["StackStatus"] == "ROLLBACK_COMPLETE"
    assert Thing.story == ["create A", "delete A"]


def test_without_rollback_what_was_made_stays(api):
    stack = api.create({"A": thing(), "B": thing(DependsOn="A", Fails="create")}, DisableRollback=True)
    assert stack["StackStatus"] == "CREATE_FAILED"
    assert len(Thing.world) == 1
    assert api.delete()["StackStatus"] == "DELETE_COMPLETE"
    assert not Thing.world


def test_on_failure_delete_leaves_no_stack(api):
    stack_id = api.create({"A": thing(Fails="create")}, settle=False, OnFailure="DELETE")
    assert api.settled(stack_id)["StackStatus"] == "DELETE_COMPLETE"
    with pytest.raises(AwsError, match="does not exist"):
        api("DescribeStacks", StackName="s")


def test_an_update_changes_in_place_what_it_can(api):
    api.create({"A": thing(Color="red")})
    assert api.update({"A": thing(Color="blue")})["StackStatus"] == "UPDATE_COMPLETE"
    assert Thing.story == ["create A", "update A"]
    assert [one["color"] for one in Thing.world.values()] == ["blue"]


def test_an_update_leaves_alone_what_does_not_change(api):
    api.create({"A": thing(Color="red"), "B": thing(Color="red")})
    api.update({"A": thing(Color="red"), "B": thing(Color="blue")})
    assert Thing.story[2:] == ["update B"]


def test_what_cant_change_in_place_is_replaced_and_the_old_one_deleted_last(api):
    api.create({"A": thing(Size=1), "B": needing("A")})
    assert api.update({"A": thing(Size=2), "B": needing("A")})["StackStatus"] == "UPDATE_COMPLETE"
    assert Thing.story[2:] == ["create A", "update B", "delete A"]
    assert len(Thing.world) == 2


def test_a_resource_with_a_name_of_its_own_is_not_replaced_but_refused(api):
    api.create({"A": thing(Name="mine", Size=1)})
    assert api.update({"A": thing(Name="mine", Size=2)})["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert any("custom-named resource" in (reason or "") for _, _, reason in api.events("s"))
    assert list(Thing.world) == ["mine"]


def test_what_a_template_no_longer_has_is_deleted(api):
    api.create({"A": thing(), "B": thing()})
    api.update({"A": thing()})
    assert Thing.story[2:] == ["delete B"]
    assert [one["LogicalResourceId"] for one in _resources(api)] == ["A"]


def test_a_failed_update_is_undone(api):
    api.create({"A": thing(Color="red"), "B": thing(Size=1), "C": thing(Color="red")})
    before = dict(Thing.world)
    changed = {
        "A": thing(Color="blue"),
        "B": thing(Size=2),
        "New": thing(),
        "C": thing(Color="blue", Fails="update", DependsOn=["A", "B", "New"]),
    }
    assert api.update(changed)["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert Thing.world == before
    assert {one["LogicalResourceId"] for one in _resources(api)} == {"A", "B", "C"}
    assert api.update({"A": thing(Color="green"), "B": thing(Size=1), "C": thing(Color="red")})["StackStatus"] == (
        "UPDATE_COMPLETE"
    )


def test_tags_of_the_stack_reach_resources_and_are_rolled_back_with_them(api):
    tags = [{"Key": "run", "Value": "1"}]
    api.create({"A": thing(Tags=[{"Key": "own", "Value": "x"}])}, Tags=tags)
    (world,) = Thing.world.values()
    assert world["tags"]["run"] == "1"
    assert world["tags"]["own"] == "x"
    assert world["tags"]["aws:cloudformation:logical-id"] == "A"
    resources = {"A": thing(Tags=[{"Key": "own", "Value": "x"}]), "B": thing(Fails="create", DependsOn="A")}
    stack = api.update(resources, Tags=[{"Key": "run", "Value": "2"}])
    assert stack["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    (world,) = Thing.world.values()
    assert world["tags"]["run"] == "1"
    assert stack["Tags"] == tags


def test_an_update_without_changes_is_refused(api):
    api.create({"A": thing()})
    with pytest.raises(AwsError, match=r"No updates are to be performed\."):
        api("UpdateStack", StackName="s", TemplateBody=json.dumps({"Resources": {"A": thing()}}))


@pytest.mark.parametrize(("policy", "left"), [("Retain", 1), ("Delete", 0), ("RetainExceptOnCreate", 1)])
def test_deletion_policies_decide_what_a_deleted_stack_leaves(api, policy, left):
    api.create({"A": thing(DeletionPolicy=policy)})
    assert api.delete()["StackStatus"] == "DELETE_COMPLETE"
    assert len(Thing.world) == left


def test_a_snapshot_is_taken_where_the_policy_says_so(api):
    api.create({"A": thing(DeletionPolicy="Snapshot")})
    api.delete()
    assert Thing.story == ["create A", "delete A", "snapshot A"]


@pytest.mark.parametrize(("policy", "left"), [("Retain", 1), ("RetainExceptOnCreate", 0)])
def test_a_rolled_back_creation_retains_only_what_shall_be_retained_always(api, policy, left):
    api.create({"A": thing(DeletionPolicy=policy), "B": thing(Fails="create", DependsOn="A")})
    assert len(Thing.world) == left


def test_an_aurora_cluster_is_snapshotted_unless_the_template_says_otherwise():
    cluster, instance = ENTRIES["AWS::RDS::DBCluster"], ENTRIES["AWS::RDS::DBInstance"]
    assert cluster.default_deletion_policy({}) == "Snapshot"
    assert instance.default_deletion_policy({"DBClusterIdentifier": "c"}) == "Delete"
    assert instance.default_deletion_policy({}) == "Snapshot"


def test_a_replaced_resource_is_retained_if_its_policy_says_so(api):
    api.create({"A": thing(Size=1, UpdateReplacePolicy="Retain")})
    api.update({"A": thing(Size=2, UpdateReplacePolicy="Retain")})
    assert len(Thing.world) == 2


def test_what_cant_be_deleted_fails_the_deletion_and_keeps_what_it_needs(api):
    api.create({"A": thing(), "B": needing("A"), "C": thing()})
    Thing.undeletable = {"B"}
    stack = api.delete()
    assert stack["StackStatus"] == "DELETE_FAILED"
    assert "[B]" in stack["StackStatusReason"]
    assert ("B", "DELETE_FAILED", "it holds on") in api.events("s")
    assert Thing.story[3:] == ["delete C"]
    assert api.delete(RetainResources=["B"])["StackStatus"] == "DELETE_COMPLETE"
    assert len(Thing.world) == 1


def test_what_is_gone_already_counts_as_deleted(api):
    api.create({"A": thing()})
    Thing.world.clear()
    assert api.delete()["StackStatus"] == "DELETE_COMPLETE"


def test_a_deleted_stack_is_described_by_its_arn_only(api):
    stack_id = api.create({"A": thing()})["StackId"]
    api.delete()
    assert api("DescribeStacks", StackName=stack_id)["Stacks"][0]["StackStatus"] == "DELETE_COMPLETE"
    with pytest.raises(AwsError, match="Stack with id s does not exist"):
        api("DescribeStacks", StackName="s")
    assert api("DescribeStacks")["Stacks"] == []
    assert [one["StackId"] for one in api("ListStacks")["StackSummaries"]] == [stack_id]


def test_deleting_a_stack_that_is_gone_is_no_error(api):
    assert api("DeleteStack", StackName="never") == {}


def test_a_protected_stack_is_not_deleted(api):
    api.create({"A": thing()}, EnableTerminationProtection=True)
    with pytest.raises(AwsError, match="TerminationProtection"):
        api("DeleteStack", StackName="s")
    api("UpdateTerminationProtection", StackName="s", EnableTerminationProtection=False)
    assert api.delete()["StackStatus"] == "DELETE_COMPLETE"


def test_deleting_a_stack_ends_its_creation(api):
    stack_id = api.create({"A": thing(), "B": thing(Blocks=True, DependsOn="A")}, settle=False)
    assert Thing.reached.wait(10)
    creation = api._engine._find("s").operation
    api("DeleteStack", StackName="s")
    creation.join(10)
    _until(lambda: api("DescribeStacks", StackName=stack_id)["Stacks"][0]["StackStatus"].startswith("DELETE"))
    assert api.settled(stack_id)["StackStatus"] == "DELETE_COMPLETE"
    assert not Thing.world


def test_a_cancelled_update_is_rolled_back(api):
    api.create({"A": thing(Color="red")})
    body = json.dumps({"Resources": {"A": thing(Color="blue"), "B": thing(Blocks=True, DependsOn="A")}})
    api("UpdateStack", StackName="s", TemplateBody=body)
    assert Thing.reached.wait(10)
    with pytest.raises(AwsError, match="UPDATE_IN_PROGRESS"):
        api("DeleteStack", StackName="s")
    api("CancelUpdateStack", StackName="s")
    assert api.settled("s")["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert [one["color"] for one in Thing.world.values()] == ["red"]


def test_outputs_and_exports_join_stacks_and_protect_each_other(api):
    outputs = {"Arn": {"Value": {"Fn::GetAtt": ["A", "Arn"]}, "Export": {"Name": "shared"}}}
    first = api.create({"A": thing(Name="a")}, name="first", sections={"Outputs": outputs})
    assert first["Outputs"][0]["OutputValue"] == "arn:a"
    api.create({"B": thing(Needs={"Fn::ImportValue": "shared"})}, name="second")
    assert api("ListImports", ExportName="shared")["Imports"] == ["second"]
    assert api.delete("first")["StackStatus"] == "DELETE_FAILED"
    assert api.delete("second")["StackStatus"] == "DELETE_COMPLETE"
    assert api.delete("first")["StackStatus"] == "DELETE_COMPLETE"
    assert api("ListExports")["Exports"] == []


def test_a_condition_that_does_not_hold_makes_neither_resource_nor_output(api):
    sections = {
        "Conditions": {"No": {"Fn::Equals": ["a", "b"]}},
        "Outputs": {"X": {"Condition": "No", "Value": {"Ref": "A"}}},
    }
    stack = api.create({"A": thing(Condition="No"), "B": thing()}, sections=sections)
    assert stack["Outputs"] == []
    assert Thing.story == ["create B"]


def test_a_broken_rule_refuses_the_stack(api):
    rule = {"Assertions": [{"Assert": {"Fn::Equals": ["a", "b"]}, "AssertDescription": "bootstrap again"}]}
    with pytest.raises(AwsError, match="bootstrap again"):
        api.create({"A": thing()}, sections={"Rules": {"Check": rule}})


def test_iam_resources_need_an_acknowledgement(api):
    role = {"Type": "AWS::IAM::Role", "Properties": {"RoleName": "r", "AssumeRolePolicyDocument": {}}}
    with pytest.raises(AwsError, match="CAPABILITY_NAMED_IAM"):
        api.create({"R": role}, Capabilities=["CAPABILITY_IAM"])


def test_a_secret_value_is_resolved_but_not_kept(api):
    moto_adapter.in_process_client("secretsmanager").create_secret(Name="db", SecretString='{"password": "pw"}')
    api.create({"A": thing(Color="{{resolve:secretsmanager:db:SecretString:password}}")})
    assert [one["color"] for one in Thing.world.values()] == ["pw"]
    record = api._engine._find("s").resources["A"]
    assert "pw" not in json.dumps(dict(record.properties))


def _change_set(api, resources, kind, name="c"):
    body = json.dumps({"Resources": resources})
    made = api("CreateChangeSet", StackName="s", ChangeSetName=name, ChangeSetType=kind, TemplateBody=body)
    return api("DescribeChangeSet", ChangeSetName=made["Id"])


def test_a_change_set_creates_a_stack_when_it_is_executed(api):
    described = _change_set(api, {"A": thing()}, "CREATE")
    assert (described["Status"], described["ExecutionStatus"]) == ("CREATE_COMPLETE", "AVAILABLE")
    assert api("DescribeStacks", StackName="s")["Stacks"][0]["StackStatus"] == "REVIEW_IN_PROGRESS"
    assert Thing.story == []
    api("ExecuteChangeSet", StackName="s", ChangeSetName="c")
    assert api.settled("s")["StackStatus"] == "CREATE_COMPLETE"


def test_a_change_set_tells_what_would_change_and_how(api):
    api.create({"A": thing(Color="red"), "B": thing(Size=1), "C": thing()})
    described = _change_set(api, {"A": thing(Color="blue"), "B": thing(Size=2), "D": thing()}, "UPDATE")
    told = {
        one["ResourceChange"]["LogicalResourceId"]: (
            one["ResourceChange"]["Action"],
            one["ResourceChange"].get("Replacement"),
        )
        for one in described["Changes"]
    }
    assert told == {"A": ("Modify", "False"), "B": ("Modify", "True"), "C": ("Remove", None), "D": ("Add", None)}


def test_a_change_set_without_changes_fails_and_says_so(api):
    api.create({"A": thing()})
    described = _change_set(api, {"A": thing()}, "UPDATE")
    assert described["Status"] == "FAILED"
    assert "didn't contain changes" in described["StatusReason"]
    with pytest.raises(AwsError, match="cannot be executed"):
        api("ExecuteChangeSet", StackName="s", ChangeSetName="c")


def test_a_change_set_of_a_deleted_stack_is_not_found_by_its_name(api):
    for _ in range(2):
        _change_set(api, {"A": thing(Fails="create")}, "CREATE")
        api("ExecuteChangeSet", StackName="s", ChangeSetName="c")
        assert api.settled("s")["StackStatus"] == "ROLLBACK_COMPLETE"
        api.delete()
        with pytest.raises(AwsError, match="does not exist"):
            api("DescribeChangeSet", StackName="s", ChangeSetName="c")


def test_a_template_is_read_from_a_bucket(api):
    s3 = moto_adapter.in_process_client("s3")
    s3.create_bucket(Bucket="assets", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_object(Bucket="assets", Key="a/t.json", Body=json.dumps({"Resources": {"A": thing()}}))
    for name, url in (
        ("x", "https://s3.eu-west-1.amazonaws.com/assets/a/t.json"),
        ("y", "http://localhost/assets/a/t.json"),
    ):
        stack_id = api("CreateStack", StackName=name, TemplateURL=url)["StackId"]
        assert api.settled(stack_id)["StackStatus"] == "CREATE_COMPLETE"
    with pytest.raises(AwsError, match="NoSuchKey"):
        api("CreateStack", StackName="z", TemplateURL="http://localhost/assets/none.json")


@pytest.mark.parametrize(
    "params",
    [
        {"NotificationARNs": ["arn"]},
        {"StackPolicyBody": "{}"},
        {"TimeoutInMinutes": 5},
        {"DeploymentConfig": {"Mode": "EXPRESS"}},
        {"RollbackConfiguration": {"RollbackTriggers": [{"Arn": "a", "Type": "b"}]}},
    ],
)
def test_what_is_not_done_is_refused_by_name(api, params):
    with pytest.raises(AwsError) as caught:
        api.create({"A": thing()}, settle=False, **params)
    assert caught.value.code == "NotImplemented"
    assert next(iter(params)) in caught.value.message


def test_a_hidden_parameter_is_not_told(api):
    sections = {"Parameters": {"P": {"Type": "String", "NoEcho": True}}}
    stack = api.create(
        {"A": thing(Color={"Ref": "P"})}, sections=sections, Parameters=[{"ParameterKey": "P", "ParameterValue": "x"}]
    )
    assert stack["Parameters"] == [{"ParameterKey": "P", "ParameterValue": "****"}]


def _resources(api):
    return api("ListStackResources", StackName="s")["StackResourceSummaries"]


def _until(check):
    waiting = threading.Event()
    for _ in range(1000):
        if check():
            return
        waiting.wait(0.01)
    raise AssertionError("it did not come to be")
