"""What keeps a resource from being deleted, and how each of these is put out of its way.

The stack made every resource that is named here, so what lies in it, runs in it or protects it is the run's own.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Clients = Callable[[str], Any]
Resource = Mapping[str, Any]
"""A resource as ``ListStackResources`` tells it."""

_INTERFACES_DEADLINE_S = 1500.0
"""Lambda and the load balancers let their interfaces go up to twenty minutes after what used them.
https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html
"""
_POLL_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Obstacle:
    """One thing that may be in the way.

    Attributes:
        name: What it is, as the ledger tells it.
        kinds: Types of the resources that it keeps.
        reason: What CloudFormation's reason says of it.
        clear: Puts it out of the way of a resource, or waits until it is; says what there was.
    """

    name: str
    kinds: frozenset[str]
    reason: re.Pattern[str]
    clear: Callable[[Clients, Resource], str]


def _empty_bucket(clients: Clients, resource: Resource) -> str:
    """Delete every version and every delete marker of a bucket."""
    s3, bucket, gone = clients("s3"), resource["PhysicalResourceId"], 0
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        objects = [
            {"Key": each["Key"], "VersionId": each["VersionId"]}
            for each in (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))
        ]
        if objects:
            s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
        gone += len(objects)
    return f"{gone} versions of objects deleted"


def _empty_repository(clients: Clients, resource: Resource) -> str:
    """Delete a repository with its images."""
    clients("ecr").delete_repository(repositoryName=resource["PhysicalResourceId"], force=True)
    return "deleted with its images"


def _stop_tasks(clients: Clients, resource: Resource) -> str:
    """Stop every task of a cluster."""
    ecs, cluster, stopped = clients("ecs"), resource["PhysicalResourceId"], 0
    for page in ecs.get_paginator("list_tasks").paginate(cluster=cluster, desiredStatus="RUNNING"):
        for task in page["taskArns"]:
            ecs.stop_task(cluster=cluster, task=task, reason="readiness teardown")
            stopped += 1
    return f"{stopped} tasks stopped"


_HELD_BY = {"AWS::EC2::SecurityGroup": "group-id", "AWS::EC2::Subnet": "subnet-id", "AWS::EC2::VPC": "vpc-id"}


def _free_interfaces(clients: Clients, resource: Resource) -> str:
    """Delete the network interfaces that nobody uses, and wait for those that a service still holds."""
    ec2, deleted = clients("ec2"), 0
    asked = [{"Name": _HELD_BY[resource["ResourceType"]], "Values": [resource["PhysicalResourceId"]]}]
    until = time.monotonic() + _INTERFACES_DEADLINE_S
    while True:
        pages = ec2.get_paginator("describe_network_interfaces").paginate(Filters=asked)
        held = [each for page in pages for each in page["NetworkInterfaces"]]
        free = [each for each in held if each["Status"] == "available"]
        for each in free:
            ec2.delete_network_interface(NetworkInterfaceId=each["NetworkInterfaceId"])
        deleted += len(free)
        if len(free) == len(held):
            return f"{deleted} network interfaces deleted, none is held"
        if time.monotonic() >= until:
            names = ", ".join(f"{each['NetworkInterfaceId']} ({each.get('Description', '')})" for each in held)
            return f"still held by {names}"
        time.sleep(_POLL_S)


def _unprotect_cluster(clients: Clients, resource: Resource) -> str:
    clients("rds").modify_db_cluster(
        DBClusterIdentifier=resource["PhysicalResourceId"], DeletionProtection=False, ApplyImmediately=True
    )
    return "deletion protection taken away"


def _unprotect_instance(clients: Clients, resource: Resource) -> str:
    clients("rds").modify_db_instance(
        DBInstanceIdentifier=resource["PhysicalResourceId"], DeletionProtection=False, ApplyImmediately=True
    )
    return "deletion protection taken away"


def _unprotect_balancer(clients: Clients, resource: Resource) -> str:
    clients("elbv2").modify_load_balancer_attributes(
        LoadBalancerArn=resource["PhysicalResourceId"],
        Attributes=[{"Key": "deletion_protection.enabled", "Value": "false"}],
    )
    return "deletion protection taken away"


def _of(name: str, kinds: str | frozenset[str], reason: str, clear: Callable[[Clients, Resource], str]) -> Obstacle:
    of = frozenset({kinds}) if isinstance(kinds, str) else kinds
    return Obstacle(name=name, kinds=of, reason=re.compile(reason, re.IGNORECASE), clear=clear)


_PROTECTED = r"protect"
OBSTACLES = (
    _of("objects in a bucket", "AWS::S3::Bucket", r"not empty", _empty_bucket),
    _of("images in a repository", "AWS::ECR::Repository", r"not empty|contains images|force", _empty_repository),
    _of("tasks in a cluster", "AWS::ECS::Cluster", r"tasks|active|in use", _stop_tasks),
    _of(
        "network interfaces",
        frozenset(_HELD_BY),
        r"dependen|network interface|in use|InUse",
        _free_interfaces,
    ),
    _of("deletion protection", "AWS::RDS::DBCluster", _PROTECTED, _unprotect_cluster),
    _of("deletion protection", "AWS::RDS::DBInstance", _PROTECTED, _unprotect_instance),
    _of("deletion protection", "AWS::ElasticLoadBalancingV2::LoadBalancer", _PROTECTED, _unprotect_balancer),
)
"""Each that is known, by the services' own words for it."""


def of(resource: Resource) -> tuple[Obstacle, ...]:
    """Return what may be in the way of a resource that could not be deleted."""
    reason = resource.get("ResourceStatusReason") or ""
    return tuple(each for each in OBSTACLES if resource["ResourceType"] in each.kinds and each.reason.search(reason))
