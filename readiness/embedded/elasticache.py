"""ElastiCache: what moto lacks of it, which is every end of a resource, and parameter groups altogether.

https://docs.aws.amazon.com/AmazonElastiCache/latest/APIReference/Welcome.html

There are no cache nodes behind it: a group is available at once, under an address that nothing listens on.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any

from readiness.embedded.moto_adapter import Action, AwsError, backend, call_moto
from readiness.embedded.settings import ACCOUNT_ID, EmbeddedSettings


class ElastiCache:
    """Subnet groups, replication groups and parameter groups, where moto does not have them.

    Args:
        settings: The region.
    """

    def __init__(self, settings: EmbeddedSettings) -> None:
        self._region = settings.region
        self._lock = threading.Lock()
        self._parameter_groups: dict[str, dict[str, Any]] = {}
        self._parameters: dict[str, dict[str, str]] = {}
        self.actions: Mapping[str, Mapping[str, Action]] = {
            "elasticache": {
                "CreateCacheParameterGroup": self._create_parameter_group,
                "DeleteCacheParameterGroup": self._delete_parameter_group,
                "DescribeCacheParameterGroups": self._describe_parameter_groups,
                "DescribeCacheParameters": self._describe_parameters,
                "ModifyCacheParameterGroup": self._modify_parameter_group,
                "CreateReplicationGroup": self._create_replication_group,
                "DeleteReplicationGroup": self._delete_replication_group,
                "CreateCacheSubnetGroup": self._create_subnet_group,
                "ModifyCacheSubnetGroup": self._modify_subnet_group,
                "DeleteCacheSubnetGroup": self._delete_subnet_group,
            }
        }

    def start(self) -> None:
        """Nothing runs."""

    def stop(self) -> None:
        """Nothing runs."""

    def _create_replication_group(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/AmazonElastiCache/latest/APIReference/API_CreateReplicationGroup.html."""
        subnets, parameters = params.get("CacheSubnetGroupName"), params.get("CacheParameterGroupName")
        if subnets and subnets not in backend("elasticache").cache_subnet_groups:
            raise AwsError("CacheSubnetGroupNotFoundFault", f"CacheSubnetGroup {subnets} not found.")
        if parameters and not parameters.startswith("default.") and parameters not in self._parameter_groups:
            raise AwsError("CacheParameterGroupNotFound", f"CacheParameterGroup not found: {parameters}", 404)
        return call_moto("elasticache", "CreateReplicationGroup", params)

    def _delete_replication_group(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/AmazonElastiCache/latest/APIReference/API_DeleteReplicationGroup.html."""
        if params.get("FinalSnapshotIdentifier"):
            named = {"SnapshotName": params["FinalSnapshotIdentifier"]}
            call_moto("elasticache", "CreateSnapshot", {"ReplicationGroupId": params["ReplicationGroupId"], **named})
        asked = {key: value for key, value in params.items() if key != "FinalSnapshotIdentifier"}
        answer = call_moto("elasticache", "DeleteReplicationGroup", asked)
        state = backend("elasticache")
        group = state.replication_groups.pop(params["ReplicationGroupId"])
        state.tagging_service.delete_all_tags_for_resource(group.arn)
        return answer

    def _modify_subnet_group(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/AmazonElastiCache/latest/APIReference/API_ModifyCacheSubnetGroup.html."""
        group = self._subnet_group(params["CacheSubnetGroupName"])
        subnets = list(params.get("SubnetIds") or group.subnet_ids)
        _check_subnets(subnets)
        # moto works out network and zones where a group is made, so a changed one is made anew under its name.
        backend("elasticache").cache_subnet_groups[group.cache_subnet_group_name] = type(group)(
            ACCOUNT_ID,
            self._region,
            group.cache_subnet_group_name,
            params.get("CacheSubnetGroupDescription", group.cache_subnet_group_description),
            subnets,
            group.tags,
        )
        named = {"CacheSubnetGroupName": group.cache_subnet_group_name}
        return {
            "CacheSubnetGroup": call_moto("elasticache", "DescribeCacheSubnetGroups", named)["CacheSubnetGroups"][0]
        }

    def _create_subnet_group(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/AmazonElastiCache/latest/APIReference/API_CreateCacheSubnetGroup.html."""
        _check_subnets(params["SubnetIds"])  # moto makes up subnets that it does not know
        return call_moto("elasticache", "CreateCacheSubnetGroup", params)

    def _delete_subnet_group(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/AmazonElastiCache/latest/APIReference/API_DeleteCacheSubnetGroup.html."""
        name = params["CacheSubnetGroupName"]
        group = self._subnet_group(name)
        state = backend("elasticache")
        users = [one for one in state.replication_groups.values() if one.cache_subnet_group_name == name]
        if users:
            raise AwsError(
                "CacheSubnetGroupInUse", f"Cache subnet group {name} is currently in use by a cache cluster."
            )
        del state.cache_subnet_groups[name]
        state.tagging_service.delete_all_tags_for_resource(group.arn)
        return {}

    def _subnet_group(self, name: str) -> Any:
        group = backend("elasticache").cache_subnet_groups.get(name)
        if group is None:
            raise AwsError("CacheSubnetGroupNotFoundFault", f"CacheSubnetGroup {name} not found.")
        return group

    def _create_parameter_group(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/AmazonElastiCache/latest/APIReference/API_CreateCacheParameterGroup.html."""
        name = params["CacheParameterGroupName"]
        arn = f"arn:aws:elasticache:{self._region}:{ACCOUNT_ID}:parametergroup:{name}"
        with self._lock:
            if name in self._parameter_groups:
                raise AwsError("CacheParameterGroupAlreadyExists", f"Cache parameter group {name} already exists")
            group = {
                "CacheParameterGroupName": name,
                "CacheParameterGroupFamily": params["CacheParameterGroupFamily"],
                "Description": params["Description"],
                "IsGlobal": False,
                "ARN": arn,
            }
            self._parameter_groups[name] = group
            self._parameters[name] = {}
        if tags := params.get("Tags"):
            backend("elasticache").tagging_service.tag_resource(arn, tags)
        return {"CacheParameterGroup": group}

    def _modify_parameter_group(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/AmazonElastiCache/latest/APIReference/API_ModifyCacheParameterGroup.html."""
        group = self._parameter_group(params["CacheParameterGroupName"])
        values = {one["ParameterName"]: str(one["ParameterValue"]) for one in params["ParameterNameValues"]}
        self._parameters[group["CacheParameterGroupName"]].update(values)
        return {"CacheParameterGroupName": group["CacheParameterGroupName"]}

    def _describe_parameter_groups(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/AmazonElastiCache/latest/APIReference/API_DescribeCacheParameterGroups.html."""
        if name := params.get("CacheParameterGroupName"):
            return {"CacheParameterGroups": [self._parameter_group(name)]}
        return {"CacheParameterGroups": list(self._parameter_groups.values())}

    def _describe_parameters(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/AmazonElastiCache/latest/APIReference/API_DescribeCacheParameters.html."""
        group = self._parameter_group(params["CacheParameterGroupName"])
        if params.get("Source") not in (None, "user"):
            raise AwsError("NotImplemented", "only parameters of source user are known to the embedded AWS")
        values = self._parameters[group["CacheParameterGroupName"]]
        return {
            "Parameters": [
                {"ParameterName": name, "ParameterValue": value, "Source": "user"} for name, value in values.items()
            ]
        }

    def _delete_parameter_group(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/AmazonElastiCache/latest/APIReference/API_DeleteCacheParameterGroup.html."""
        group = self._parameter_group(params["CacheParameterGroupName"])
        name, state = group["CacheParameterGroupName"], backend("elasticache")
        if any(one.cache_parameter_group_name == name for one in state.replication_groups.values()):
            raise AwsError("InvalidCacheParameterGroupState", f"The parameter group {name} is in use")
        with self._lock:
            del self._parameter_groups[name], self._parameters[name]
        state.tagging_service.delete_all_tags_for_resource(group["ARN"])
        return {}

    def _parameter_group(self, name: str) -> dict[str, Any]:
        group = self._parameter_groups.get(name)
        if group is None:
            raise AwsError("CacheParameterGroupNotFound", f"CacheParameterGroup not found: {name}", 404)
        return group


def _check_subnets(subnets: Iterable[str]) -> None:
    known = {subnet["SubnetId"] for subnet in call_moto("ec2", "DescribeSubnets", {})["Subnets"]}
    if missing := sorted(set(subnets) - known):
        raise AwsError("InvalidSubnet", f"The subnets do not exist: {', '.join(missing)}")
