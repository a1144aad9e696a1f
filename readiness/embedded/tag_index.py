"""The Resource Groups Tagging API: every tagged resource, those of our own parts included.

https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/API_GetResources.html

moto indexes what it keeps itself, and leaves some of that out. Here both are joined.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from readiness.embedded.moto_adapter import Action, AwsError, call_moto
from readiness.embedded.settings import ACCOUNT_ID, EmbeddedSettings

Source = Callable[[], Mapping[str, Mapping[str, str]]]
"""Returns the tags of resources by their ARN."""

_PAGE = 50


class TagIndex:
    """Answers which resources carry a tag.

    Args:
        settings: The region.
        sources: Our own parts that keep tagged resources.
    """

    def __init__(self, settings: EmbeddedSettings, sources: Iterable[Source]) -> None:
        self._region = settings.region
        self._sources = (*sources, self._ec2_tags, self._rds_group_tags)
        self.actions: Mapping[str, Mapping[str, Action]] = {
            "resourcegroupstaggingapi": {"GetResources": self._get_resources}
        }

    def start(self) -> None:
        """Nothing runs."""

    def stop(self) -> None:
        """Nothing runs."""

    def _get_resources(self, params: dict[str, Any]) -> Mapping[str, Any]:
        for name in ("IncludeComplianceDetails", "ExcludeCompliantResources", "TagsPerPage"):
            if params.get(name):
                raise AwsError("NotImplemented", f"this parameter is not done by the embedded AWS: {name}")
        tags = {arn: found for arn, found in self._all().items() if _matches(arn, found, params)}
        start = _offset(params.get("PaginationToken"))
        end = start + int(params.get("ResourcesPerPage") or _PAGE)
        page = sorted(tags)[start:end]
        return {
            "PaginationToken": str(end) if end < len(tags) else "",
            "ResourceTagMappingList": [
                {"ResourceARN": arn, "Tags": [{"Key": key, "Value": value} for key, value in tags[arn].items()]}
                for arn in page
            ],
        }

    def _all(self) -> dict[str, Mapping[str, str]]:
        found: dict[str, Mapping[str, str]] = {}
        token = ""
        while True:
            asked: dict[str, Any] = {"ResourcesPerPage": 100, **({"PaginationToken": token} if token else {})}
            answer = call_moto("resourcegroupstaggingapi", "GetResources", asked)
            for entry in answer["ResourceTagMappingList"]:
                found[entry["ResourceARN"]] = {tag["Key"]: tag["Value"] for tag in entry["Tags"]}
            token = answer.get("PaginationToken") or ""
            if not token:
                break
        for source in self._sources:
            found.update(source())
        return {arn: tags for arn, tags in found.items() if tags}

    def _ec2_tags(self) -> dict[str, dict[str, str]]:
        """Tags of the kinds of EC2 resources that moto's index leaves out."""
        found: dict[str, dict[str, str]] = {}
        for address in call_moto("ec2", "DescribeAddresses", {})["Addresses"]:
            arn = f"arn:aws:ec2:{self._region}:{ACCOUNT_ID}:elastic-ip/{address['AllocationId']}"
            found[arn] = {tag["Key"]: tag["Value"] for tag in address.get("Tags", [])}
        for endpoint in call_moto("ec2", "DescribeVpcEndpoints", {})["VpcEndpoints"]:
            arn = f"arn:aws:ec2:{self._region}:{ACCOUNT_ID}:vpc-endpoint/{endpoint['VpcEndpointId']}"
            found[arn] = {tag["Key"]: tag["Value"] for tag in endpoint.get("Tags", [])}
        return found

    def _rds_group_tags(self) -> dict[str, dict[str, str]]:
        subnets = call_moto("rds", "DescribeDBSubnetGroups", {})["DBSubnetGroups"]
        parameters = call_moto("rds", "DescribeDBClusterParameterGroups", {})["DBClusterParameterGroups"]
        arns = [group["DBSubnetGroupArn"] for group in subnets]
        arns += [group["DBClusterParameterGroupArn"] for group in parameters]
        found: dict[str, dict[str, str]] = {}
        for arn in arns:
            tags = call_moto("rds", "ListTagsForResource", {"ResourceName": arn})["TagList"]
            found[arn] = {tag["Key"]: tag["Value"] for tag in tags}
        return found


def _matches(arn: str, tags: Mapping[str, str], params: Mapping[str, Any]) -> bool:
    """Every tag filter must hold; of a filter's values, any may."""
    if (wanted := params.get("ResourceARNList")) and arn not in wanted:
        return False
    if (types := params.get("ResourceTypeFilters")) and not any(_is_of_type(arn, kind) for kind in types):
        return False
    for condition in params.get("TagFilters") or []:
        values = condition.get("Values") or []
        if condition["Key"] not in tags or (values and tags[condition["Key"]] not in values):
            return False
    return True


def _is_of_type(arn: str, kind: str) -> bool:
    """``service`` or ``service:type``; https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html."""
    service, _, resource_type = kind.partition(":")
    parts = arn.split(":", 5)
    own_type = parts[5].replace("/", ":").split(":", 1)[0]
    return parts[2] == service and (not resource_type or own_type == resource_type)


def _offset(token: str | None) -> int:
    if not token:
        return 0
    if not token.isdigit():
        raise AwsError("PaginationTokenExpiredException", "The pagination token is not one of this API")
    return int(token)
