"""The contract with moto: fails when moto is upgraded, or when what the adapter uses of it moved."""

from __future__ import annotations

import importlib.metadata
import json
from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError

from readiness.embedded import moto_adapter
from readiness.embedded.clients import Clients
from readiness.embedded.moto_adapter import AwsError, MotoServer, ServerError

REGION = "eu-west-1"


@pytest.fixture
def clients():
    moto_adapter.forget_all()
    moto_adapter.reset_state()
    with MotoServer(REGION) as server:
        yield Clients(server.endpoint, REGION)
    moto_adapter.forget_all()
    moto_adapter.reset_state()


def _error(call, **params):
    with pytest.raises(ClientError) as caught:
        call(**params)
    return caught.value.response["Error"]


def test_moto_is_the_version_that_the_adapter_was_written_against():
    assert importlib.metadata.version("moto") == moto_adapter.MOTO_VERSION


@pytest.mark.parametrize(
    ("service", "operation", "call", "params", "answer"),
    [
        (
            "elbv2",
            "DescribeTags",
            "describe_tags",
            {"ResourceArns": ["a"]},
            {"TagDescriptions": [{"ResourceArn": "a"}]},
        ),
        ("ecs", "ListTasks", "list_tasks", {"cluster": "c"}, {"taskArns": ["t"]}),
        ("cloudwatch", "DescribeAlarms", "describe_alarms", {"MaxRecords": 3}, {"MetricAlarms": [{"Threshold": 1.5}]}),
        ("scheduler", "GetSchedule", "get_schedule", {"Name": "n", "GroupName": "g"}, {"Name": "n"}),
        ("s3", "GetBucketLocation", "get_bucket_location", {"Bucket": "bucket"}, {"LocationConstraint": "eu-west-3"}),
        (
            "ec2",
            "DescribeVpcs",
            "describe_vpcs",
            {"VpcIds": ["vpc-1"]},
            {"Vpcs": [{"VpcId": "vpc-1", "IsDefault": True}]},
        ),
        ("synthetics", "GetCanary", "get_canary", {"Name": "n"}, {"Canary": {"Name": "n"}}),
    ],
)
def test_an_action_is_asked_and_answers_in_every_protocol(clients, service, operation, call, params, answer):
    asked = []

    def action(given):
        asked.append(given)
        return answer

    moto_adapter.override(service, {operation: action})
    answered = getattr(clients(service), call)(**params)
    answered.pop("ResponseMetadata")
    assert asked == [params]
    assert {key: answered[key] for key in answer} == answer


@pytest.mark.parametrize(
    ("service", "operation", "call", "params"),
    [
        ("elbv2", "DescribeTags", "describe_tags", {"ResourceArns": ["a"]}),
        ("ecs", "ListTasks", "list_tasks", {}),
        ("cloudwatch", "DescribeAlarms", "describe_alarms", {}),
        ("scheduler", "GetSchedule", "get_schedule", {"Name": "n"}),
        ("ec2", "DescribeVpcs", "describe_vpcs", {}),
    ],
)
def test_an_error_of_an_action_reaches_the_caller_with_its_code(clients, service, operation, call, params):
    def action(given):
        raise AwsError("SomethingSpecial", "this went wrong")

    moto_adapter.override(service, {operation: action})
    error = _error(getattr(clients(service), call), **params)
    assert (error["Code"], error["Message"]) == ("SomethingSpecial", "this went wrong")


def test_a_fault_of_an_action_is_an_error_and_no_empty_answer(clients):
    moto_adapter.override("ecs", {"ListTasks": lambda params: {}["missing"]})
    error = _error(clients("ecs").list_tasks)
    assert error["Code"] == "InternalFailure"
    assert "ecs ListTasks" in error["Message"]


def test_timestamps_reach_an_action_with_their_offset(clients):
    asked = []
    moto_adapter.override("cloudwatch", {"PutMetricData": lambda params: asked.append(params) or {}})
    instant = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
    data = [{"MetricName": "m", "Timestamp": instant, "Value": 1.0}]
    clients("cloudwatch").put_metric_data(Namespace="n", MetricData=data)
    assert asked[0]["MetricData"][0]["Timestamp"] == instant


def test_operations_without_an_action_stay_with_moto(clients):
    moto_adapter.override("ecs", {"ListTasks": lambda params: {"taskArns": ["ours"]}})
    clients("ecs").create_cluster(clusterName="from-moto")
    assert clients("ecs").list_clusters()["clusterArns"][0].endswith("cluster/from-moto")


def test_an_action_can_extend_what_moto_does(clients):
    moto_adapter.override(
        "ecs", {"CreateCluster": lambda params: moto_adapter.call_moto("ecs", "CreateCluster", params)}
    )
    assert clients("ecs").create_cluster(clusterName="c")["cluster"]["clusterName"] == "c"


def test_an_error_of_moto_keeps_its_code_when_it_is_called_by_an_action(clients):
    with pytest.raises(AwsError) as caught:
        moto_adapter.call_moto("sqs", "GetQueueUrl", {"QueueName": "none"})
    assert "NonExistentQueue" in caught.value.code


def test_an_operation_of_a_replaced_service_is_refused_by_name(clients):
    moto_adapter.replace("ecs", {"ListTasks": lambda params: {"taskArns": []}})
    error = _error(clients("ecs").list_clusters)
    assert error["Code"] == "NotImplemented"
    assert "ecs ListClusters" in error["Message"]


def test_an_operation_that_moto_lacks_is_refused_by_name(clients):
    error = _error(clients("elasticache").delete_cache_subnet_group, CacheSubnetGroupName="g")
    assert error["Code"] == "NotImplemented"
    assert "elasticache DeleteCacheSubnetGroup" in error["Message"]


def test_a_service_that_moto_lacks_is_refused_by_name(clients, capsys):
    error = _error(clients("dlm").get_lifecycle_policies)
    assert error["Code"] == "NotImplemented"
    assert "dlm" in error["Message"]
    assert capsys.readouterr().out == ""


def test_a_service_that_moto_lacks_can_be_answered_by_actions(clients):
    moto_adapter.replace("dlm", {"GetLifecyclePolicies": lambda params: {"Policies": [{"PolicyId": "p"}]}})
    assert clients("dlm").get_lifecycle_policies()["Policies"] == [{"PolicyId": "p"}]


def test_another_region_is_refused_instead_of_answered_as_if_it_were_this_one(clients):
    moto_adapter.override("ecs", {"ListTasks": lambda params: {"taskArns": []}})
    error = _error(Clients(clients.endpoint, "us-east-2")("ecs").list_tasks)
    assert "us-east-2" in error["Message"]


def test_an_action_for_an_operation_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="ListTusks"):
        moto_adapter.override("ecs", {"ListTusks": lambda params: {}})


def test_two_services_that_sign_alike_are_told_apart(clients):
    moto_adapter.override("elbv2", {"DescribeLoadBalancers": lambda params: {"LoadBalancers": [{"DNSName": "new"}]}})
    assert clients("elbv2").describe_load_balancers()["LoadBalancers"][0]["DNSName"] == "new"
    assert clients("elb").describe_load_balancers()["LoadBalancerDescriptions"] == []


def test_denying_what_comes_without_tls_does_not_lock_a_bucket(clients):
    s3 = clients("s3")
    s3.create_bucket(Bucket="assets", CreateBucketConfiguration={"LocationConstraint": REGION})
    statement = {
        "Effect": "Deny",
        "Principal": {"AWS": "*"},
        "Action": "s3:*",
        "Resource": ["arn:aws:s3:::assets", "arn:aws:s3:::assets/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    s3.put_bucket_policy(Bucket="assets", Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    s3.put_object(Bucket="assets", Key="a", Body=b"1")
    assert s3.get_object(Bucket="assets", Key="a")["Body"].read() == b"1"


def test_denying_without_a_condition_still_denies(clients):
    s3 = clients("s3")
    s3.create_bucket(Bucket="closed", CreateBucketConfiguration={"LocationConstraint": REGION})
    statement = {"Effect": "Deny", "Principal": {"AWS": "*"}, "Action": "s3:*", "Resource": "arn:aws:s3:::closed/*"}
    s3.put_bucket_policy(Bucket="closed", Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    assert _error(s3.get_object, Bucket="closed", Key="a")["Code"] in ("AccessDenied", "403")


def test_a_bucket_carries_the_tags_that_only_cloudformation_may_set(clients):
    clients("s3").create_bucket(Bucket="tagged", CreateBucketConfiguration={"LocationConstraint": REGION})
    moto_adapter.tag_bucket("tagged", {"aws:cloudformation:stack-name": "s"})
    tags = clients("s3").get_bucket_tagging(Bucket="tagged")["TagSet"]
    assert tags == [{"Key": "aws:cloudformation:stack-name", "Value": "s"}]


def test_a_message_from_a_topic_to_a_queue_is_asked_about_before_it_is_sent(clients):
    asked = []
    topic = clients("sns").create_topic(Name="t")["TopicArn"]
    url = clients("sqs").create_queue(QueueName="q")["QueueUrl"]
    queue = "arn:aws:sqs:eu-west-1:123456789012:q"
    clients("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue)
    moto_adapter.check_deliveries(lambda *ends: asked.append(ends) or True)
    clients("sns").publish(TopicArn=topic, Message="lost")
    moto_adapter.check_deliveries(None)
    clients("sns").publish(TopicArn=topic, Message="kept")
    assert asked == [(topic, queue)]
    (message,) = clients("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    assert json.loads(message["Body"])["Message"] == "kept"


def test_managed_policies_of_aws_can_be_attached(clients):
    iam = clients("iam")
    iam.create_role(RoleName="r", AssumeRolePolicyDocument="{}")
    iam.attach_role_policy(RoleName="r", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    assert len(iam.list_attached_role_policies(RoleName="r")["AttachedPolicies"]) == 1


def test_a_busy_port_is_told_in_a_sentence(clients):
    port = int(clients.endpoint.rsplit(":", 1)[1])
    with pytest.raises(ServerError, match=f"port {port} .* can't be bound"):
        MotoServer(REGION, port).start()
