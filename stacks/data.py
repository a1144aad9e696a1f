"""The data stores: Aurora PostgreSQL Serverless v2 and Redis, with their secrets."""

from __future__ import annotations

from aws_cdk import CfnDeletionPolicy, RemovalPolicy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticache as elasticache
from aws_cdk import aws_rds as rds
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from readiness.model import Cache as CachePlan
from readiness.model import Database as DatabasePlan
from stacks.network import CACHE_PORT, DATABASE_PORT

DATABASE_USER = "service"
_TOKEN_LENGTH = 64


class Database(Construct):
    """An Aurora cluster with one serverless instance.

    RDS keeps the master password in a secret of its own, rotates it every seven days and deletes it with the cluster,
    without a rotation function of ours:
    https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/rds-secrets-manager.html

    Attributes:
        host: Name of the writer endpoint.
        name: Name of the database in it.
        secret: JSON with ``username`` and ``password``.
        environment: What the service is told of it.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        plan: DatabasePlan,
        vpc: ec2.IVpc,
        subnets: ec2.SubnetSelection,
        security_group: ec2.ISecurityGroup,
    ) -> None:
        super().__init__(scope, construct_id)
        subnet_group = rds.CfnDBSubnetGroup(
            self,
            "Subnets",
            db_subnet_group_description="Isolated subnets of the clone",
            subnet_ids=vpc.select_subnets(subnet_type=subnets.subnet_type).subnet_ids,
        )
        parameters = rds.CfnDBClusterParameterGroup(
            self,
            "Parameters",
            description="Refuses connections without TLS",
            family=f"aurora-postgresql{plan.engine_version.split('.')[0]}",
            parameters={"rds.force_ssl": "1"},
        )
        cluster = rds.CfnDBCluster(
            self,
            "Cluster",
            engine="aurora-postgresql",
            engine_version=plan.engine_version,
            database_name=plan.name,
            master_username=DATABASE_USER,
            manage_master_user_password=True,
            port=DATABASE_PORT,
            serverless_v2_scaling_configuration=rds.CfnDBCluster.ServerlessV2ScalingConfigurationProperty(
                min_capacity=plan.min_acu, max_capacity=plan.max_acu
            ),
            storage_encrypted=True,
            # A lost backup of a clone is no loss; one day is the least that Aurora takes.
            backup_retention_period=1,
            copy_tags_to_snapshot=True,
            deletion_protection=False,
            enable_iam_database_authentication=True,
            db_subnet_group_name=subnet_group.ref,
            db_cluster_parameter_group_name=parameters.ref,
            vpc_security_group_ids=[security_group.security_group_id],
        )
        # No log export: RDS would make the log group itself, and leave it behind.
        instance = rds.CfnDBInstance(
            self,
            "Writer",
            db_cluster_identifier=cluster.ref,
            db_instance_class="db.serverless",
            engine="aurora-postgresql",
            publicly_accessible=False,
            auto_minor_version_upgrade=True,
        )
        for resource in (cluster, instance):
            resource.apply_removal_policy(RemovalPolicy.DESTROY)
            resource.cfn_options.deletion_policy = CfnDeletionPolicy.DELETE
        self.instance = instance
        self.host = cluster.attr_endpoint_address
        self.name = plan.name
        self.secret = secretsmanager.Secret.from_secret_complete_arn(
            self, "Password", cluster.attr_master_user_secret_secret_arn
        )
        self.environment = {
            "DATABASE_HOST": self.host,
            "DATABASE_PORT": str(DATABASE_PORT),
            "DATABASE_NAME": self.name,
            "DATABASE_USER": DATABASE_USER,
        }


class Cache(Construct):
    """A Redis replication group, encrypted at rest and in transit, opened by a generated token.

    Attributes:
        host: Name of the primary endpoint.
        secret: The token, as a plain string.
        environment: What the service is told of it.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        plan: CachePlan,
        vpc: ec2.IVpc,
        subnets: ec2.SubnetSelection,
        security_group: ec2.ISecurityGroup,
    ) -> None:
        super().__init__(scope, construct_id)
        self.secret = secretsmanager.Secret(
            self,
            "Token",
            description="Redis AUTH token of the clone",
            # ElastiCache takes 16 to 128 characters, and few punctuation marks.
            generate_secret_string=secretsmanager.SecretStringGenerator(
                password_length=_TOKEN_LENGTH, exclude_punctuation=True
            ),
            removal_policy=RemovalPolicy.DESTROY,
        )
        subnet_group = elasticache.CfnSubnetGroup(
            self,
            "Subnets",
            description="Isolated subnets of the clone",
            subnet_ids=vpc.select_subnets(subnet_type=subnets.subnet_type).subnet_ids,
        )
        several = plan.replicas > 0
        group = elasticache.CfnReplicationGroup(
            self,
            "Group",
            replication_group_description="Cache and event bus of the clone",
            engine="redis",
            engine_version=plan.engine_version,
            cache_node_type=plan.node_type,
            num_cache_clusters=plan.replicas + 1,
            automatic_failover_enabled=several,
            multi_az_enabled=several,
            at_rest_encryption_enabled=True,
            transit_encryption_enabled=True,
            # A dynamic reference: the token is in no template, and CloudFormation reads it when it creates the group.
            auth_token=self.secret.secret_value.unsafe_unwrap(),
            port=CACHE_PORT,
            snapshot_retention_limit=0,
            auto_minor_version_upgrade=True,
            cache_subnet_group_name=subnet_group.ref,
            security_group_ids=[security_group.security_group_id],
        )
        group.apply_removal_policy(RemovalPolicy.DESTROY)
        self.group = group
        self.host = group.attr_primary_end_point_address
        self.environment = {"REDIS_HOST": self.host, "REDIS_PORT": str(CACHE_PORT), "REDIS_TLS": "true"}
