"""EC2: networks, addresses and security groups.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_EC2.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from readiness.embedded.resources.base import Resource, ResourceError, key_values, policy_text, words


class _Ec2Resource(Resource):
    SERVICE = "ec2"
    TAG_KIND: ClassVar[str] = ""

    def tag_specifications(self) -> list[dict[str, Any]]:
        return [{"ResourceType": self.TAG_KIND, "Tags": self.tag_list()}]

    def tag_target(self) -> str:
        return self.id

    def update_tags(self, before: Resource) -> None:
        target = self.tag_target()
        self.retag(
            before,
            add=lambda tags: self.call("CreateTags", Resources=[target], Tags=key_values(tags)),
            remove=lambda keys: self.call("DeleteTags", Resources=[target], Tags=[{"Key": key} for key in keys]),
        )

    def update(self, changed: frozenset[str], before: Resource) -> None:
        if "Tags" in changed:
            self.update_tags(before)


class Vpc(_Ec2Resource):
    """A VPC."""

    TYPE = "AWS::EC2::VPC"
    PROPERTIES = words("CidrBlock EnableDnsHostnames EnableDnsSupport InstanceTenancy Tags")
    IN_PLACE = words("EnableDnsHostnames EnableDnsSupport Tags")
    TAGGED = True
    TAG_KIND = "vpc"

    def create(self) -> None:
        """Make the VPC."""
        vpc = self.call(
            "CreateVpc", **self.some("CidrBlock", "InstanceTenancy"), TagSpecifications=self.tag_specifications()
        )["Vpc"]
        self.physical_id = vpc["VpcId"]
        self._set_dns()
        group = self._of_vpc("DescribeSecurityGroups", "SecurityGroups", {"Name": "group-name", "Values": ["default"]})
        acl = self._of_vpc("DescribeNetworkAcls", "NetworkAcls", {"Name": "default", "Values": ["true"]})
        self.attributes = {
            "VpcId": self.id,
            "CidrBlock": vpc["CidrBlock"],
            "CidrBlockAssociations": [item["AssociationId"] for item in vpc.get("CidrBlockAssociationSet", [])],
            "DefaultSecurityGroup": group["GroupId"],
            "DefaultNetworkAcl": acl["NetworkAclId"],
        }

    def update(self, changed: frozenset[str], before: Resource) -> None:
        """Change name resolution and tags."""
        self._set_dns()
        super().update(changed, before)

    def delete(self) -> None:
        """Delete the VPC."""
        self.call("DeleteVpc", VpcId=self.id)

    def _set_dns(self) -> None:
        for name, default in (("EnableDnsSupport", True), ("EnableDnsHostnames", False)):
            self.call("ModifyVpcAttribute", VpcId=self.id, **{name: {"Value": self.flag(name, default=default)}})

    def _of_vpc(self, operation: str, key: str, condition: Mapping[str, Any]) -> dict[str, Any]:
        found = self.call(operation, Filters=[{"Name": "vpc-id", "Values": [self.id]}, condition])[key]
        if not found:
            raise ResourceError(f"{operation} shows nothing for the new VPC {self.id}")
        first: dict[str, Any] = found[0]
        return first


class Subnet(_Ec2Resource):
    """A subnet."""

    TYPE = "AWS::EC2::Subnet"
    PROPERTIES = words("AvailabilityZone CidrBlock MapPublicIpOnLaunch VpcId Tags")
    IN_PLACE = words("MapPublicIpOnLaunch Tags")
    TAGGED = True
    TAG_KIND = "subnet"

    def create(self) -> None:
        """Make the subnet."""
        subnet = self.call(
            "CreateSubnet",
            **self.some("AvailabilityZone", "CidrBlock", "VpcId"),
            TagSpecifications=self.tag_specifications(),
        )["Subnet"]
        self.physical_id = subnet["SubnetId"]
        self.attributes = {
            "SubnetId": self.id,
            **{name: subnet[name] for name in ("AvailabilityZone", "CidrBlock", "VpcId")},
            "AvailabilityZoneId": subnet.get("AvailabilityZoneId"),
            "Ipv6CidrBlocks": [],
        }
        self._set_public()

    def update(self, changed: frozenset[str], before: Resource) -> None:
        """Change public addresses and tags."""
        self._set_public()
        super().update(changed, before)

    def delete(self) -> None:
        """Delete the subnet."""
        self.call("DeleteSubnet", SubnetId=self.id)

    def _set_public(self) -> None:
        value = {"Value": self.flag("MapPublicIpOnLaunch")}
        self.call("ModifySubnetAttribute", SubnetId=self.id, MapPublicIpOnLaunch=value)


class RouteTable(_Ec2Resource):
    """A route table."""

    TYPE = "AWS::EC2::RouteTable"
    PROPERTIES = words("VpcId Tags")
    IN_PLACE = words("Tags")
    TAGGED = True
    TAG_KIND = "route-table"

    def create(self) -> None:
        """Make the route table."""
        answer = self.call("CreateRouteTable", VpcId=self.need("VpcId"), TagSpecifications=self.tag_specifications())
        self.physical_id = answer["RouteTable"]["RouteTableId"]
        self.attributes = {"RouteTableId": self.id}

    def delete(self) -> None:
        """Delete the route table."""
        self.call("DeleteRouteTable", RouteTableId=self.id)


class SubnetRouteTableAssociation(_Ec2Resource):
    """What gives a subnet its route table."""

    TYPE = "AWS::EC2::SubnetRouteTableAssociation"
    PROPERTIES = words("RouteTableId SubnetId")
    IN_PLACE = words("RouteTableId")

    def create(self) -> None:
        """Associate."""
        answer = self.call(
            "AssociateRouteTable", RouteTableId=self.need("RouteTableId"), SubnetId=self.need("SubnetId")
        )
        self._became(answer["AssociationId"])

    def update(self, changed: frozenset[str], before: Resource) -> None:
        """Associate with another route table."""
        answer = self.call(
            "ReplaceRouteTableAssociation", AssociationId=self.id, RouteTableId=self.need("RouteTableId")
        )
        self._became(answer["NewAssociationId"])

    def delete(self) -> None:
        """Disassociate."""
        self.call("DisassociateRouteTable", AssociationId=self.id)

    def _became(self, association: str) -> None:
        self.physical_id = association
        self.attributes = {"Id": association}


class Route(_Ec2Resource):
    """A route."""

    TYPE = "AWS::EC2::Route"
    _TARGETS: ClassVar = ("GatewayId", "NatGatewayId", "VpcPeeringConnectionId", "TransitGatewayId", "VpcEndpointId")
    PROPERTIES = words(
        "RouteTableId DestinationCidrBlock GatewayId NatGatewayId VpcPeeringConnectionId TransitGatewayId VpcEndpointId"
    )
    IN_PLACE = words("GatewayId NatGatewayId VpcPeeringConnectionId TransitGatewayId VpcEndpointId")

    def create(self) -> None:
        """Add the route to its table."""
        self.call("CreateRoute", **self._key(), **self.some(*self._TARGETS))
        self.physical_id = f"{self.need('RouteTableId')}|{self.need('DestinationCidrBlock')}"
        self.attributes = {"CidrBlock": self.need("DestinationCidrBlock")}

    def update(self, changed: frozenset[str], before: Resource) -> None:
        """Send the traffic elsewhere."""
        self.call("ReplaceRoute", **self._key(), **self.some(*self._TARGETS))

    def delete(self) -> None:
        """Remove the route from its table."""
        self.call("DeleteRoute", **self._key())

    def _key(self) -> dict[str, Any]:
        return {"RouteTableId": self.need("RouteTableId"), "DestinationCidrBlock": self.need("DestinationCidrBlock")}


class InternetGateway(_Ec2Resource):
    """An internet gateway."""

    TYPE = "AWS::EC2::InternetGateway"
    PROPERTIES = words("Tags")
    IN_PLACE = words("Tags")
    TAGGED = True
    TAG_KIND = "internet-gateway"

    def create(self) -> None:
        """Make the gateway."""
        answer = self.call("CreateInternetGateway", TagSpecifications=self.tag_specifications())
        self.physical_id = answer["InternetGateway"]["InternetGatewayId"]
        self.attributes = {"InternetGatewayId": self.id}

    def delete(self) -> None:
        """Delete the gateway."""
        self.call("DeleteInternetGateway", InternetGatewayId=self.id)


class VpcGatewayAttachment(_Ec2Resource):
    """What attaches an internet gateway to a VPC."""

    TYPE = "AWS::EC2::VPCGatewayAttachment"
    PROPERTIES = words("InternetGatewayId VpcId")

    def create(self) -> None:
        """Attach."""
        self.call("AttachInternetGateway", InternetGatewayId=self.need("InternetGatewayId"), VpcId=self.need("VpcId"))
        self.physical_id = f"IGW|{self.need('VpcId')}"
        self.attributes = {"AttachmentType": "IGW"}

    def delete(self) -> None:
        """Detach."""
        self.call("DetachInternetGateway", InternetGatewayId=self.need("InternetGatewayId"), VpcId=self.need("VpcId"))


class ElasticIp(_Ec2Resource):
    """An elastic IP address."""

    TYPE = "AWS::EC2::EIP"
    PROPERTIES = words("Domain Tags")
    IN_PLACE = words("Tags")
    TAGGED = True
    TAG_KIND = "elastic-ip"

    def create(self) -> None:
        """Allocate the address."""
        answer = self.call(
            "AllocateAddress", Domain=self.get("Domain", "vpc"), TagSpecifications=self.tag_specifications()
        )
        self.physical_id = answer["PublicIp"]
        self.attributes = {"AllocationId": answer["AllocationId"], "PublicIp": answer["PublicIp"]}

    def tag_target(self) -> str:
        """Tags of an address go by its allocation."""
        return str(self.attributes["AllocationId"])

    def delete(self) -> None:
        """Release the address."""
        self.call("ReleaseAddress", AllocationId=self.attributes["AllocationId"])


class NatGateway(_Ec2Resource):
    """A NAT gateway."""

    TYPE = "AWS::EC2::NatGateway"
    PROPERTIES = words("AllocationId ConnectivityType SubnetId Tags")
    IN_PLACE = words("Tags")
    TAGGED = True
    TAG_KIND = "natgateway"

    def create(self) -> None:
        """Make the gateway and wait until it is available."""
        answer = self.call(
            "CreateNatGateway",
            **self.some("AllocationId", "ConnectivityType", "SubnetId"),
            TagSpecifications=self.tag_specifications(),
        )
        self.physical_id = answer["NatGateway"]["NatGatewayId"]
        self.attributes = {"NatGatewayId": self.id}
        self.wait(f"{self.id} to be available", lambda: self._state() == "available", deadline_s=60)

    def delete(self) -> None:
        """Delete the gateway; EC2 goes on showing it as deleted for a while, as AWS does."""
        self.call("DeleteNatGateway", NatGatewayId=self.id)
        self.wait(f"{self.id} to be deleted", lambda: self._state() in (None, "deleted"), deadline_s=60)

    def _state(self) -> str | None:
        found = self.call("DescribeNatGateways", NatGatewayIds=[self.id])["NatGateways"]
        return str(found[0]["State"]) if found else None


class FlowLog(_Ec2Resource):
    """A flow log."""

    TYPE = "AWS::EC2::FlowLog"
    PROPERTIES = words(
        "DeliverLogsPermissionArn LogDestination LogDestinationType LogFormat LogGroupName MaxAggregationInterval "
        "ResourceId ResourceType TrafficType Tags"
    )
    IN_PLACE = words("Tags")
    TAGGED = True
    TAG_KIND = "vpc-flow-log"

    def create(self) -> None:
        """Make the flow log."""
        given = {key: value for key, value in self.properties.items() if key not in ("ResourceId", "Tags")}
        answer = self.call(
            "CreateFlowLogs",
            ResourceIds=[self.need("ResourceId")],
            TagSpecifications=self.tag_specifications(),
            **given,
        )
        if answer.get("Unsuccessful"):
            raise ResourceError(f"the flow log was refused: {answer['Unsuccessful'][0]['Error']['Message']}")
        self.physical_id = answer["FlowLogIds"][0]
        self.attributes = {"Id": self.id}

    def delete(self) -> None:
        """Delete the flow log."""
        self.call("DeleteFlowLogs", FlowLogIds=[self.id])


_RULE = "CidrIp CidrIpv6 Description FromPort GroupId IpProtocol ToPort"


def _permission(rule: Mapping[str, Any], peer: str) -> dict[str, Any]:
    """Return a rule of a template as the APIs take it; ``peer`` is ``Source`` or ``Destination``."""
    known = words(_RULE + f" {peer}SecurityGroupId {peer}PrefixListId")
    if unknown := sorted(set(rule) - known):
        raise ResourceError(f"property of a security group rule is not done by the embedded AWS: {', '.join(unknown)}")
    described = {"Description": rule["Description"]} if "Description" in rule else {}
    permission = {key: rule[key] for key in ("IpProtocol", "FromPort", "ToPort") if key in rule}
    peers = (
        ("CidrIp", "IpRanges", "CidrIp"),
        ("CidrIpv6", "Ipv6Ranges", "CidrIpv6"),
        (f"{peer}SecurityGroupId", "UserIdGroupPairs", "GroupId"),
        (f"{peer}PrefixListId", "PrefixListIds", "PrefixListId"),
    )
    for key, member, name in peers:
        if key in rule:
            permission[member] = [{name: rule[key], **described}]
    return permission


class SecurityGroup(_Ec2Resource):
    """A security group, with the rules that are written within it."""

    TYPE = "AWS::EC2::SecurityGroup"
    PROPERTIES = words("GroupDescription GroupName SecurityGroupEgress SecurityGroupIngress VpcId Tags")
    IN_PLACE = words("SecurityGroupEgress SecurityGroupIngress Tags")
    NAME = "GroupName"
    TAGGED = True
    TAG_KIND = "security-group"
    _ALL_OUT: ClassVar = {"IpProtocol": "-1", "CidrIp": "0.0.0.0/0"}

    def create(self) -> None:
        """Make the group and its rules. Rules for what goes out take the place of the default, which allows all."""
        answer = self.call(
            "CreateSecurityGroup",
            GroupName=self.name(longest=255),
            Description=self.need("GroupDescription"),
            VpcId=self.get("VpcId"),
            TagSpecifications=self.tag_specifications(),
        )
        self.physical_id = answer["GroupId"]
        self.attributes = {"GroupId": self.id, "Id": self.id, "VpcId": self.get("VpcId")}
        self._change("Ingress", [], self._rules("Ingress"))
        self._change("Egress", [self._ALL_OUT], self._rules("Egress"))

    def update(self, changed: frozenset[str], before: Resource) -> None:
        """Change the rules that are written within the group, and its tags."""
        assert isinstance(before, SecurityGroup)
        for direction in ("Ingress", "Egress"):
            if f"SecurityGroup{direction}" in changed:
                self._change(direction, before._rules(direction), self._rules(direction))
        super().update(changed, before)

    def delete(self) -> None:
        """Delete the group."""
        self.call("DeleteSecurityGroup", GroupId=self.id)

    def _rules(self, direction: str) -> list[Mapping[str, Any]]:
        default = [self._ALL_OUT] if direction == "Egress" else []
        rules: list[Mapping[str, Any]] = list(self.get(f"SecurityGroup{direction}") or default)
        return rules

    def _change(self, direction: str, old: Iterable[Mapping[str, Any]], new: Iterable[Mapping[str, Any]]) -> None:
        peer = "Source" if direction == "Ingress" else "Destination"
        before, after = ([_permission(rule, peer) for rule in rules] for rules in (old, new))
        if gone := [rule for rule in before if rule not in after]:
            self.call(f"RevokeSecurityGroup{direction}", GroupId=self.id, IpPermissions=gone)
        if added := [rule for rule in after if rule not in before]:
            self.call(f"AuthorizeSecurityGroup{direction}", GroupId=self.id, IpPermissions=added)


class _SecurityGroupRule(_Ec2Resource):
    DIRECTION: ClassVar[str] = ""
    PEER: ClassVar[str] = ""

    def create(self) -> None:
        answer = self._call("Authorize")
        rules = answer.get("SecurityGroupRules") or []
        if not rules:
            raise ResourceError(f"the rule was added to {self.need('GroupId')}, but EC2 names no rule")
        self.physical_id = rules[0]["SecurityGroupRuleId"]
        self.attributes = {"Id": self.id}

    def delete(self) -> None:
        self._call("Revoke")

    def _call(self, verb: str) -> dict[str, Any]:
        return self.call(
            f"{verb}SecurityGroup{self.DIRECTION}",
            GroupId=self.need("GroupId"),
            IpPermissions=[_permission(self.properties, self.PEER)],
        )


class SecurityGroupIngress(_SecurityGroupRule):
    """A rule for what may come in."""

    TYPE = "AWS::EC2::SecurityGroupIngress"
    PROPERTIES = words(_RULE + " SourceSecurityGroupId SourcePrefixListId")
    DIRECTION = "Ingress"
    PEER = "Source"


class SecurityGroupEgress(_SecurityGroupRule):
    """A rule for what may go out."""

    TYPE = "AWS::EC2::SecurityGroupEgress"
    PROPERTIES = words(_RULE + " DestinationSecurityGroupId DestinationPrefixListId")
    DIRECTION = "Egress"
    PEER = "Destination"


class VpcEndpoint(_Ec2Resource):
    """A VPC endpoint."""

    TYPE = "AWS::EC2::VPCEndpoint"
    PROPERTIES = words(
        "PolicyDocument PrivateDnsEnabled RouteTableIds SecurityGroupIds ServiceName SubnetIds VpcEndpointType VpcId "
        "Tags"
    )
    IN_PLACE = words("PolicyDocument PrivateDnsEnabled RouteTableIds SecurityGroupIds SubnetIds Tags")
    TAGGED = True
    TAG_KIND = "vpc-endpoint"

    def create(self) -> None:
        """Make the endpoint."""
        given = {key: value for key, value in self.properties.items() if key not in ("Tags", "PolicyDocument")}
        endpoint = self.call(
            "CreateVpcEndpoint",
            TagSpecifications=self.tag_specifications(),
            PolicyDocument=policy_text(self.get("PolicyDocument")) if "PolicyDocument" in self.properties else None,
            **given,
        )["VpcEndpoint"]
        self.physical_id = endpoint["VpcEndpointId"]
        self.attributes = {
            "Id": self.id,
            "CreationTimestamp": str(endpoint.get("CreationTimestamp", "")),
            "DnsEntries": [
                f"{entry.get('HostedZoneId')}:{entry.get('DnsName')}" for entry in endpoint.get("DnsEntries", [])
            ],
            "NetworkInterfaceIds": list(endpoint.get("NetworkInterfaceIds", [])),
        }

    def update(self, changed: frozenset[str], before: Resource) -> None:
        """Change what is attached to the endpoint."""
        lists = {"RouteTableIds": "RouteTableIds", "SubnetIds": "SubnetIds", "SecurityGroupIds": "SecurityGroupIds"}
        params: dict[str, Any] = self.some("PrivateDnsEnabled") if "PrivateDnsEnabled" in changed else {}
        if "PolicyDocument" in changed:
            params["PolicyDocument"] = policy_text(self.get("PolicyDocument"))
        for name, suffix in lists.items():
            old, new = set(before.get(name, [])), set(self.get(name, []))
            params[f"Add{suffix}"] = sorted(new - old) or None
            params[f"Remove{suffix}"] = sorted(old - new) or None
        if any(value is not None for value in params.values()):
            self.call("ModifyVpcEndpoint", VpcEndpointId=self.id, **params)
        super().update(changed, before)

    def delete(self) -> None:
        """Delete the endpoint."""
        self.call("DeleteVpcEndpoints", VpcEndpointIds=[self.id])


ENTRIES: tuple[type[Resource], ...] = (
    ElasticIp,
    FlowLog,
    InternetGateway,
    NatGateway,
    Route,
    RouteTable,
    SecurityGroup,
    SecurityGroupEgress,
    SecurityGroupIngress,
    Subnet,
    SubnetRouteTableAssociation,
    Vpc,
    VpcEndpoint,
    VpcGatewayAttachment,
)
"""The types of this file."""
