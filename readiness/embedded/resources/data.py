"""RDS, ElastiCache and Secrets Manager: data stores and their secrets.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_RDS.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_ElastiCache.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_SecretsManager.html
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from botocore.exceptions import ClientError

from readiness.embedded.resources.base import Properties, Resource, ResourceError, arn, key_values, random_suffix, words

_CREATION_DEADLINE_S = 60.0


class _DatabaseResource(Resource):
    """What RDS and ElastiCache have in common: tags go by ARN."""

    def resource_arn(self) -> str:
        raise NotImplementedError

    def update_tags(self, before: Resource) -> None:
        resource = self.resource_arn()
        self.retag(
            before,
            add=lambda tags: self.call("AddTagsToResource", ResourceName=resource, Tags=key_values(tags)),
            remove=lambda keys: self.call("RemoveTagsFromResource", ResourceName=resource, TagKeys=keys),
        )

    def exists(self, describe: Callable[[], Any]) -> bool:
        """Return whether a describe call still finds the resource."""
        try:
            return bool(describe())
        except ClientError as error:
            if "NotFound" in error.response["Error"]["Code"]:
                return False
            raise

    def snapshot_name(self) -> str:
        """The name that CloudFormation gives to a snapshot that it takes."""
        return f"{self.context.stack_name}-snapshot-{self.context.logical_id}-{random_suffix(12)}".lower()[:255]


class DbSubnetGroup(_DatabaseResource):
    """The subnets of a database."""

    TYPE = "AWS::RDS::DBSubnetGroup"
    SERVICE = "rds"
    PROPERTIES = words("DBSubnetGroupDescription DBSubnetGroupName SubnetIds Tags")
    IN_PLACE = words("DBSubnetGroupDescription SubnetIds Tags")
    NAME = "DBSubnetGroupName"
    TAGGED = True

    def create(self) -> None:
        """Make the group."""
        name = self.name(longest=255, lower=True)
        self.call(
            "CreateDBSubnetGroup",
            DBSubnetGroupName=name,
            Tags=self.tag_list(),
            **self.some("DBSubnetGroupDescription", "SubnetIds"),
        )
        self.physical_id = name

    def update(self, changed: frozenset[str], before: Resource) -> None:
        """Change subnets, description and tags."""
        if changed - {"Tags"}:
            self.call(
                "ModifyDBSubnetGroup", DBSubnetGroupName=self.id, **self.some("DBSubnetGroupDescription", "SubnetIds")
            )
        self.update_tags(before)

    def delete(self) -> None:
        """Delete the group."""
        self.call("DeleteDBSubnetGroup", DBSubnetGroupName=self.id)

    def resource_arn(self) -> str:
        """The group's ARN."""
        return arn("rds", self.context.region, f"subgrp:{self.id}")


class DbClusterParameterGroup(_DatabaseResource):
    """The parameters of a database cluster."""

    TYPE = "AWS::RDS::DBClusterParameterGroup"
    SERVICE = "rds"
    PROPERTIES = words("DBClusterParameterGroupName Description Family Parameters Tags")
    IN_PLACE = words("Parameters Tags")
    NAME = "DBClusterParameterGroupName"
    TAGGED = True

    def create(self) -> None:
        """Make the group."""
        name = self.name(longest=255, lower=True)
        self.call(
            "CreateDBClusterParameterGroup",
            DBClusterParameterGroupName=name,
            DBParameterGroupFamily=self.need("Family"),
            Description=self.need("Description"),
            Tags=self.tag_list(),
        )
        self.physical_id = name
        self._set_parameters(self.get("Parameters") or {})

    def update(self, changed: frozenset[str], before: Resource) -> None:
        """Change parameters and tags; parameters that are gone are not reset, so that is refused."""
        new = self.get("Parameters") or {}
        if gone := sorted((before.get("Parameters") or {}).keys() - new.keys()):
            raise ResourceError(f"resetting parameters is not done by the embedded AWS: {', '.join(gone)}")
        self._set_parameters(new)
        self.update_tags(before)

    def delete(self) -> None:
        """Delete the group."""
        self.call("DeleteDBClusterParameterGroup", DBClusterParameterGroupName=self.id)

    def resource_arn(self) -> str:
        """The group's ARN."""
        return arn("rds", self.context.region, f"cluster-pg:{self.id}")

    def _set_parameters(self, parameters: Mapping[str, Any]) -> None:
        if parameters:
            settings = [
                {"ParameterName": name, "ParameterValue": value, "ApplyMethod": "pending-reboot"}
                for name, value in parameters.items()
            ]
            self.call("ModifyDBClusterParameterGroup", DBClusterParameterGroupName=self.id, Parameters=settings)


_CLUSTER_MODIFIABLE = words(
    "BackupRetentionPeriod CopyTagsToSnapshot DBClusterParameterGroupName DeletionProtection "
    "EnableIAMDatabaseAuthentication EngineVersion ManageMasterUserPassword MasterUserPassword Port "
    "PreferredBackupWindow PreferredMaintenanceWindow ServerlessV2ScalingConfiguration VpcSecurityGroupIds"
)


class DbCluster(_DatabaseResource):
    """An Aurora cluster."""

    TYPE = "AWS::RDS::DBCluster"
    SERVICE = "rds"
    _CREATED_WITH: ClassVar = _CLUSTER_MODIFIABLE | words(
        "AvailabilityZones DBSubnetGroupName DatabaseName Engine EngineMode KmsKeyId MasterUsername StorageEncrypted "
        "EnableCloudwatchLogsExports"
    )
    PROPERTIES = _CREATED_WITH | words("DBClusterIdentifier MasterUserSecret Tags")
    IN_PLACE = _CLUSTER_MODIFIABLE | words("Tags")
    NAME = "DBClusterIdentifier"
    TAGGED = True

    @classmethod
    def default_deletion_policy(cls, properties: Properties) -> str:
        """A cluster is not lost without a snapshot unless the template says so."""
        return "Snapshot"

    def create(self) -> None:
        """Make the cluster and wait until it is available."""
        name = self.name(longest=63, lower=True)
        secret = self.get("MasterUserSecret") or {}
        self.call(
            "CreateDBCluster",
            DBClusterIdentifier=name,
            MasterUserSecretKmsKeyId=secret.get("KmsKeyId"),
            Tags=self.tag_list(),
            **self.some(*sorted(self._CREATED_WITH)),
        )
        self.physical_id = name
        self.wait(
            f"{name} to be available", lambda: self._found()["Status"] == "available", deadline_s=_CREATION_DEADLINE_S
        )
        self._read()

    def update(self, changed: frozenset[str], before: Resource) -> None:
        """Change settings and tags."""
        if names := changed - {"Tags"}:
            self.call(
                "ModifyDBCluster",
                DBClusterIdentifier=self.id,
                ApplyImmediately=True,
                **self.some(*sorted(names)),
            )
        self.update_tags(before)
        self._read()

    def delete(self) -> None:
        """Delete the cluster without a snapshot."""
        self._delete(SkipFinalSnapshot=True)

    def delete_with_snapshot(self) -> None:
        """Delete the cluster after a final snapshot."""
        self._delete(SkipFinalSnapshot=False, FinalDBSnapshotIdentifier=self.snapshot_name())

    def resource_arn(self) -> str:
        """The cluster's ARN."""
        return str(self.attributes["DBClusterArn"])

    def _delete(self, **how: Any) -> None:
        self.call("DeleteDBCluster", DBClusterIdentifier=self.id, **how)
        self.wait(f"{self.id} to be deleted", lambda: not self.exists(self._found), deadline_s=_CREATION_DEADLINE_S)

    def _found(self) -> dict[str, Any]:
        found: dict[str, Any] = self.call("DescribeDBClusters", DBClusterIdentifier=self.id)["DBClusters"][0]
        return found

    def _read(self) -> None:
        cluster = self._found()
        self.attributes = {
            "DBClusterArn": cluster["DBClusterArn"],
            "DBClusterResourceId": cluster.get("DbClusterResourceId"),
            "Endpoint.Address": cluster["Endpoint"],
            "Endpoint.Port": str(cluster["Port"]),
            "ReadEndpoint.Address": cluster["ReaderEndpoint"],
        }
        if secret := cluster.get("MasterUserSecret"):
            self.attributes["MasterUserSecret.SecretArn"] = secret["SecretArn"]


_INSTANCE_MODIFIABLE = words(
    "AllocatedStorage AutoMinorVersionUpgrade BackupRetentionPeriod DBInstanceClass DeletionProtection "
    "EnablePerformanceInsights EngineVersion MasterUserPassword MonitoringInterval MonitoringRoleArn "
    "PerformanceInsightsKMSKeyId PerformanceInsightsRetentionPeriod PreferredMaintenanceWindow PromotionTier "
    "PubliclyAccessible"
)


class DbInstance(_DatabaseResource):
    """A database instance, alone or of a cluster."""

    TYPE = "AWS::RDS::DBInstance"
    SERVICE = "rds"
    _CREATED_WITH: ClassVar = _INSTANCE_MODIFIABLE | words(
        "AvailabilityZone DBClusterIdentifier DBName DBSubnetGroupName Engine MasterUsername Port StorageEncrypted "
        "StorageType"
    )
    PROPERTIES = _CREATED_WITH | words("DBInstanceIdentifier Tags VPCSecurityGroups")
    IN_PLACE = _INSTANCE_MODIFIABLE | words("Tags")
    NAME = "DBInstanceIdentifier"
    TAGGED = True

    @classmethod
    def default_deletion_policy(cls, properties: Properties) -> str:
        """An instance outside a cluster is not lost without a snapshot unless the template says so."""
        return "Delete" if "DBClusterIdentifier" in properties else "Snapshot"

    def create(self) -> None:
        """Make the instance and wait until it is available."""
        name = self.name(longest=63, lower=True)
        given = self.some(*sorted(self._CREATED_WITH))
        if "DBClusterIdentifier" in given and "EngineVersion" not in given:
            # An instance of a cluster has the cluster's version.
            cluster = self.call("DescribeDBClusters", DBClusterIdentifier=given["DBClusterIdentifier"])["DBClusters"][0]
            given["EngineVersion"] = cluster["EngineVersion"]
        self.call(
            "CreateDBInstance",
            DBInstanceIdentifier=name,
            VpcSecurityGroupIds=self.get("VPCSecurityGroups"),
            Tags=self.tag_list(),
            **given,
        )
        self.physical_id = name
        self.wait(
            f"{name} to be available",
            lambda: self._found()["DBInstanceStatus"] == "available",
            deadline_s=_CREATION_DEADLINE_S,
        )
        self._read()

    def update(self, changed: frozenset[str], before: Resource) -> None:
        """Change settings and tags."""
        if names := changed - {"Tags"}:
            self.call(
                "ModifyDBInstance",
                DBInstanceIdentifier=self.id,
                ApplyImmediately=True,
                **self.some(*sorted(names)),
            )
        self.update_tags(before)
        self._read()

    def delete(self) -> None:
        """Delete the instance without a snapshot."""
        self._delete(SkipFinalSnapshot=True)

    def delete_with_snapshot(self) -> None:
        """Delete the instance after a final snapshot."""
        self._delete(SkipFinalSnapshot=False, FinalDBSnapshotIdentifier=self.snapshot_name())

    def resource_arn(self) -> str:
        """The instance's ARN."""
        return str(self.attributes["DBInstanceArn"])

    def _delete(self, **how: Any) -> None:
        self.call("DeleteDBInstance", DBInstanceIdentifier=self.id, **how)
        self.wait(f"{self.id} to be deleted", lambda: not self.exists(self._found), deadline_s=_CREATION_DEADLINE_S)

    def _found(self) -> dict[str, Any]:
        found: dict[str, Any] = self.call("DescribeDBInstances", DBInstanceIdentifier=self.id)["DBInstances"][0]
        return found

    def _read(self) -> None:
        instance = self._found()
        endpoint = instance.get("Endpoint") or {}
        self.attributes = {
            "DBInstanceArn": instance["DBInstanceArn"],
            "DbiResourceId": instance.get("DbiResourceId"),
            "Endpoint.Address": endpoint.get("Address"),
            "Endpoint.Port": str(endpoint.get("Port")),
        }


class CacheSubnetGroup(_DatabaseResource):
    """The subnets of a cache."""

    TYPE = "AWS::ElastiCache::SubnetGroup"
    SERVICE = "elasticache"
    PROPERTIES = words("CacheSubnetGroupName Description SubnetIds Tags")
    IN_PLACE = words("Description SubnetIds Tags")
    NAME = "CacheSubnetGroupName"
    TAGGED = True

    def create(self) -> None:
        """Make the group."""
        name = self.name(longest=255, lower=True)
        self.call("CreateCacheSubnetGroup", CacheSubnetGroupName=name, Tags=self.tag_list(), **self._settings())
        self.physical_id = name

    def update(self, changed: frozenset[str], before: Resource) -> None:
        """Change subnets, description and tags."""
        if changed - {"Tags"}:
            self.call("ModifyCacheSubnetGroup", CacheSubnetGroupName=self.id, **self._settings())
        self.update_tags(before)

    def delete(self) -> None:
        """Delete the group."""
        self.call("DeleteCacheSubnetGroup", CacheSubnetGroupName=self.id)

    def resource_arn(self) -> str:
        """The group's ARN."""
        return arn("elasticache", self.context.region, f"subnetgroup:{self.id}")

    def _settings(self) -> dict[str, Any]:
        return {"CacheSubnetGroupDescription": self.need("Description"), "SubnetIds": self.need("SubnetIds")}


class CacheParameterGroup(_DatabaseResource):
    """The parameters of a cache."""

    TYPE = "AWS::ElastiCache::ParameterGroup"
    SERVICE = "elasticache"
    PROPERTIES = words("CacheParameterGroupFamily Description Properties Tags")
    IN_PLACE = words("Properties Tags")
    TAGGED = True

    def create(self) -> None:
        """Make the group."""
        name = self.name(longest=255, lower=True)
        self.call(
            "CreateCacheParameterGroup",
            CacheParameterGroupName=name,
            Tags=self.tag_list(),
            **self.some("CacheParameterGroupFamily", "Description"),
        )
        self.physical_id = name
        self.attributes = {"CacheParameterGroupName": name}
        self._set_parameters()

    def update(self, changed: frozenset[str], before: Resource) -> None:
        """Change parameters and tags; a parameter that is gone is not reset, so that is refused."""
        if gone := sorted((before.get("Properties") or {}).keys() - (self.get("Properties") or {}).keys()):
            raise ResourceError(f"resetting parameters is not done by the embedded AWS: {', '.join(gone)}")
        if "Properties" in changed:
            self._set_parameters()
        self.update_tags(before)

    def resource_arn(self) -> str:
        """The group's ARN."""
        return arn("elasticache", self.context.region, f"parametergroup:{self.id}")

    def delete(self) -> None:
        """Delete the group."""
        self.call("DeleteCacheParameterGroup", CacheParameterGroupName=self.id)

    def _set_parameters(self) -> None:
        if parameters := self.get("Properties"):
            settings = [{"ParameterName": name, "ParameterValue": value} for name, value in parameters.items()]
            self.call("ModifyCacheParameterGroup", CacheParameterGroupName=self.id, ParameterNameValues=settings)


_GROUP_MODIFIABLE = words(
    "AutoMinorVersionUpgrade AutomaticFailoverEnabled CacheNodeType CacheParameterGroupName EngineVersion "
    "MultiAZEnabled PreferredMaintenanceWindow ReplicationGroupDescription SecurityGroupIds SnapshotRetentionLimit "
    "SnapshotWindow"
)


class ReplicationGroup(_DatabaseResource):
    """A Redis or Valkey replication group."""

    TYPE = "AWS::ElastiCache::ReplicationGroup"
    SERVICE = "elasticache"
    _CREATED_WITH: ClassVar = _GROUP_MODIFIABLE | words(
        "AtRestEncryptionEnabled AuthToken CacheSubnetGroupName Engine KmsKeyId NumCacheClusters NumNodeGroups Port "
        "PreferredCacheClusterAZs ReplicasPerNodeGroup TransitEncryptionEnabled TransitEncryptionMode"
    )
    PROPERTIES = _CREATED_WITH | words("ReplicationGroupId Tags")
    # moto keeps only these of what can be modified; a change of any other would be told and not happen.
    IN_PLACE = words("ReplicationGroupDescription Tags")
    NAME = "ReplicationGroupId"
    TAGGED = True

    def create(self) -> None:
        """Make the group and wait until it is available."""
        name = self.name(longest=40, lower=True)
        self.call(
            "CreateReplicationGroup",
            ReplicationGroupId=name,
            Tags=self.tag_list(),
            **self.some(*sorted(self._CREATED_WITH)),
        )
        self.physical_id = name
        self.wait(
            f"{name} to be available", lambda: self._found()["Status"] == "available", deadline_s=_CREATION_DEADLINE_S
        )
        self._read()

    def update(self, changed: frozenset[str], before: Resource) -> None:
        """Change description and tags."""
        if changed - {"Tags"}:
            self.call("ModifyReplicationGroup", ReplicationGroupId=self.id, **self.some("ReplicationGroupDescription"))
        self.update_tags(before)

    def delete(self) -> None:
        """Delete the group without a snapshot."""
        self._delete()

    def delete_with_snapshot(self) -> None:
        """Delete the group after a final snapshot."""
        self.call("CreateSnapshot", ReplicationGroupId=self.id, SnapshotName=self.snapshot_name())
        self._delete()

    def resource_arn(self) -> str:
        """The group's ARN."""
        return arn("elasticache", self.context.region, f"replicationgroup:{self.id}")

    def _delete(self) -> None:
        self.call("DeleteReplicationGroup", ReplicationGroupId=self.id, RetainPrimaryCluster=False)
        self.wait(f"{self.id} to be deleted", lambda: not self.exists(self._found), deadline_s=_CREATION_DEADLINE_S)

    def _found(self) -> dict[str, Any]:
        groups = self.call("DescribeReplicationGroups", ReplicationGroupId=self.id)["ReplicationGroups"]
        found: dict[str, Any] = groups[0] if groups else {}
        return found

    def _read(self) -> None:
        group = self._found()
        node = (group.get("NodeGroups") or [{}])[0]
        endpoints = {
            "PrimaryEndPoint": node.get("PrimaryEndpoint"),
            "ReaderEndPoint": node.get("ReaderEndpoint"),
            "ConfigurationEndPoint": group.get("ConfigurationEndpoint"),
        }
        self.attributes = {"ReplicationGroupId": self.id}
        for name, endpoint in endpoints.items():
            if endpoint:
                self.attributes[f"{name}.Address"] = endpoint["Address"]
                self.attributes[f"{name}.Port"] = str(endpoint["Port"])


class Secret(Resource):
    """A secret, given or generated."""

    TYPE = "AWS::SecretsManager::Secret"
    SERVICE = "secretsmanager"
    PROPERTIES = words("Description GenerateSecretString KmsKeyId Name SecretString Tags")
    # A change of GenerateSecretString makes a new value, as on AWS.
    IN_PLACE = words("Description GenerateSecretString KmsKeyId SecretString Tags")
    NAME = "Name"
    TAGGED = True

    def create(self) -> None:
        """Make the secret."""
        name = self.get("Name") or f"{self.context.logical_id}-{random_suffix(12)}"
        answer = self.call(
            "CreateSecret",
            Name=name,
            SecretString=self._value(),
            Tags=self.tag_list(),
            **self.some("Description", "KmsKeyId"),
        )
        self.physical_id = answer["ARN"]
        self.attributes = {"Id": self.id}

    def update(self, changed: frozenset[str], before: Resource) -> None:
        """Change value, description, key and tags."""
        if changed & {"SecretString", "GenerateSecretString"}:
            self.call("PutSecretValue", SecretId=self.id, SecretString=self._value())
        if changed & {"Description", "KmsKeyId"}:
            self.call("UpdateSecret", SecretId=self.id, **self.some("Description", "KmsKeyId"))
        self.retag(
            before,
            add=lambda tags: self.call("TagResource", SecretId=self.id, Tags=key_values(tags)),
            remove=lambda keys: self.call("UntagResource", SecretId=self.id, TagKeys=keys),
        )

    def delete(self) -> None:
        """Delete the secret at once, as CloudFormation does, so that its name is free again."""
        self.call("DeleteSecret", SecretId=self.id, ForceDeleteWithoutRecovery=True)

    def _value(self) -> str:
        if "SecretString" in self.properties and "GenerateSecretString" in self.properties:
            raise ResourceError("You can't specify both SecretString and GenerateSecretString")
        if "SecretString" in self.properties:
            return str(self.properties["SecretString"])
        how = dict(self.get("GenerateSecretString") or {})
        template, key = how.pop("SecretStringTemplate", None), how.pop("GenerateStringKey", None)
        password = str(self.call("GetRandomPassword", **how)["RandomPassword"])
        if (template is None) != (key is None):
            raise ResourceError("SecretStringTemplate and GenerateStringKey must be specified together")
        return password if template is None else json.dumps({**json.loads(template), str(key): password})


class SecretTargetAttachment(Resource):
    """What writes a database's address into its secret."""

    TYPE = "AWS::SecretsManager::SecretTargetAttachment"
    SERVICE = "secretsmanager"
    PROPERTIES = words("SecretId TargetId TargetType")

    def create(self) -> None:
        """Add host, port, engine and name of the database to the secret's JSON."""
        self.physical_id = self.need("SecretId")
        self.attributes = {"Id": self.id}
        self._write({**self._secret(), **self._target()})

    def delete(self) -> None:
        """Take the database's address out of the secret."""
        known = words("host port engine dbname dbClusterIdentifier dbInstanceIdentifier")
        self._write({key: value for key, value in self._secret().items() if key not in known})

    def _secret(self) -> dict[str, Any]:
        text = self.call("GetSecretValue", SecretId=self.need("SecretId"))["SecretString"]
        try:
            secret = json.loads(text)
        except ValueError as error:
            raise ResourceError("the secret of an attachment must be a JSON object") from error
        if not isinstance(secret, dict):
            raise ResourceError("the secret of an attachment must be a JSON object")
        return secret

    def _write(self, secret: Mapping[str, Any]) -> None:
        self.call("PutSecretValue", SecretId=self.need("SecretId"), SecretString=json.dumps(secret))

    def _target(self) -> dict[str, Any]:
        kind, target = self.need("TargetType"), self.need("TargetId")
        if kind == "AWS::RDS::DBCluster":
            found = self.call_other("rds", "DescribeDBClusters", DBClusterIdentifier=target)["DBClusters"][0]
            address = {"host": found["Endpoint"], "port": found["Port"], "dbClusterIdentifier": target}
            name = found.get("DatabaseName")
        elif kind == "AWS::RDS::DBInstance":
            found = self.call_other("rds", "DescribeDBInstances", DBInstanceIdentifier=target)["DBInstances"][0]
            endpoint = found["Endpoint"]
            address = {"host": endpoint["Address"], "port": endpoint["Port"], "dbInstanceIdentifier": target}
            name = found.get("DBName")
        else:
            raise ResourceError(f"TargetType is not done by the embedded AWS: {kind}")
        engine = (
            "postgres" if "postgres" in found["Engine"] else "mysql" if "mysql" in found["Engine"] else found["Engine"]
        )
        return {**address, "engine": engine, **({"dbname": name} if name else {})}


ENTRIES: tuple[type[Resource], ...] = (
    CacheParameterGroup,
    CacheSubnetGroup,
    DbCluster,
    DbClusterParameterGroup,
    DbInstance,
    DbSubnetGroup,
    ReplicationGroup,
    Secret,
    SecretTargetAttachment,
)
"""The types of this file."""
