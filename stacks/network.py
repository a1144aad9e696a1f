"""The network: a VPC of three tiers in two zones, or an imported one; and who may talk to whom."""

from __future__ import annotations

from aws_cdk import Annotations, RemovalPolicy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_logs as logs
from constructs import Construct

from readiness import contract
from readiness.model import Network as ImportedNetwork
from readiness.model import Plan

DATABASE_PORT = 5432
CACHE_PORT = 6379
_ZONES = 2


class Network(Construct):
    """Where the clone stands.

    Attributes:
        vpc: Made for the clone, or the plan's.
        private: Subnets with a way out: tasks and the load balancer.
        isolated: Subnets without one: the database and the cache.
        balancer: Security group of the load balancer.
        service: Security group of the service's tasks.
        fleet: Security group of the load generators.
        database: Security group of the database; None = the plan has none.
        cache: Security group of the cache; None = the plan has none.
        probe: Security group of the synthetic probe; None = the plan has none.
    """

    def __init__(self, scope: Construct, construct_id: str, *, plan: Plan) -> None:
        super().__init__(scope, construct_id)
        self.vpc = self._own_vpc() if plan.network is None else self._imported_vpc(plan.network)
        self.private = ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS)
        self.isolated = ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED)
        self.balancer = self._group("Balancer", "Load balancer: reached by the load generators only")
        self.service = self._group("Service", "Tasks of the service: reached by the load balancer only")
        self.fleet = self._group("Fleet", "Load generators: reached by each other only")
        self.database = self._group("Database", "Database: reached by the service only") if plan.database else None
        self.cache = self._group("Cache", "Cache: reached by the service only") if plan.cache else None
        self.probe = self._group("Probe", "Synthetic probe: reached by nobody") if plan.probe else None
        self._allow(plan)

    @property
    def private_subnets(self) -> list[ec2.ISubnet]:
        """The subnets of the tasks and of the load balancer."""
        return self.vpc.select_subnets(subnet_type=self.private.subnet_type).subnets

    def _own_vpc(self) -> ec2.IVpc:
        """Return a VPC whose zones are resolved when it is deployed, so that no account is asked at synthesis."""
        vpc = ec2.Vpc(
            self,
            "Vpc",
            max_azs=_ZONES,
            nat_gateways=1,
            # The default group is used by nothing here. Emptying it takes a custom resource, which would leave a
            # function and its log group behind.
            restrict_default_security_group=False,
            subnet_configuration=[
                ec2.SubnetConfiguration(
                    name="Public", subnet_type=ec2.SubnetType.PUBLIC, map_public_ip_on_launch=False
                ),
                ec2.SubnetConfiguration(name="Private", subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS),
                ec2.SubnetConfiguration(name="Isolated", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED),
            ],
        )
        log_group = logs.LogGroup(
            self, "FlowLogs", retention=logs.RetentionDays.ONE_WEEK, removal_policy=RemovalPolicy.DESTROY
        )
        vpc.add_flow_log("FlowLog", destination=ec2.FlowLogDestination.to_cloud_watch_logs(log_group))
        return vpc

    def _imported_vpc(self, network: ImportedNetwork) -> ec2.IVpc:
        """Return the plan's VPC, by what the plan says of it: a lookup would need credentials at synthesis."""
        vpc = ec2.Vpc.from_vpc_attributes(
            self,
            "Vpc",
            vpc_id=network.vpc_id,
            availability_zones=list(network.availability_zones),
            private_subnet_ids=list(network.private_subnet_ids),
            isolated_subnet_ids=list(network.isolated_subnet_ids),
        )
        Annotations.of(vpc).acknowledge_warning(
            "@aws-cdk/aws-ec2:noSubnetRouteTableId", "The clone adds no route to a network that it does not own."
        )
        return vpc

    def _group(self, construct_id: str, description: str) -> ec2.SecurityGroup:
        return ec2.SecurityGroup(self, construct_id, vpc=self.vpc, description=description, allow_all_outbound=False)

    def _allow(self, plan: Plan) -> None:
        """Allow what the service and the harness need. The way from the load balancer to the service comes with ECS."""
        listener = ec2.Port.tcp(plan.service.listener_port)
        self.fleet.connections.allow_to(self.balancer, listener, "Load to the listener")
        self.fleet.connections.allow_internally(ec2.Port.tcp(contract.FLEET_MASTER_PORT), "Workers to their master")
        if self.database:
            self.service.connections.allow_to(self.database, ec2.Port.tcp(DATABASE_PORT), "Service to its database")
        if self.cache:
            self.service.connections.allow_to(self.cache, ec2.Port.tcp(CACHE_PORT), "Service to its cache")
        if self.probe:
            self.probe.connections.allow_to(self.balancer, listener, "Probe to the listener")
        for group in (self.service, self.fleet, self.probe):
            if group:
                # Image layers, secrets, logs and upstreams have public addresses, which no group can name.
                group.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.tcp(443), "HTTPS to AWS and to upstreams")
        _no_way_out_by_default(self.balancer)


def _no_way_out_by_default(group: ec2.SecurityGroup) -> None:
    """Keep AWS from letting everything out of a group whose rules all stand alone.

    AWS takes its default away only for a rule in the group itself; the CDK takes its own placeholder for one away as
    soon as a rule stands alone. This one lets nothing out: nobody has that address, and ICMP has no such type.
    """
    resource = group.node.default_child
    assert isinstance(resource, ec2.CfnSecurityGroup)
    nothing = {
        "CidrIp": "255.255.255.255/32",
        "Description": "Disallow all traffic",
        "IpProtocol": "icmp",
        "FromPort": 252,
        "ToPort": 86,
    }
    resource.add_property_override("SecurityGroupEgress", [nothing])
