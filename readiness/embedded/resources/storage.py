"""S3 buckets and ECR repositories.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_S3.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_ECR.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from readiness.embedded import moto_adapter
from readiness.embedded.resources.base import Resource, ResourceError, key_values, policy_text, words


class Bucket(Resource):
    """An S3 bucket."""

    TYPE = "AWS::S3::Bucket"
    SERVICE = "s3"
    PROPERTIES = words(
        "AccessControl BucketEncryption BucketName CorsConfiguration LifecycleConfiguration LoggingConfiguration "
        "OwnershipControls PublicAccessBlockConfiguration VersioningConfiguration Tags"
    )
    IN_PLACE = PROPERTIES - {"BucketName"}
    NAME = "BucketName"
    TAGGED = True

    def create(self) -> None:
        """Make the bucket, then configure it."""
        name = self.name(longest=63, lower=True)
        region = self.context.region
        place = None if region == "us-east-1" else {"LocationConstraint": region}
        self.call("CreateBucket", Bucket=name, CreateBucketConfiguration=place)
        self.physical_id = name
        self.attributes = {
            "Arn": f"arn:aws:s3:::{name}",
            "DomainName": f"{name}.s3.amazonaws.com",
            "RegionalDomainName": f"{name}.s3.{region}.amazonaws.com",
            "DualStackDomainName": f"{name}.s3.dualstack.{region}.amazonaws.com",
            "WebsiteURL": f"http://{name}.s3-website-{region}.amazonaws.com",
        }
        self._configure(frozenset(self.properties))
        moto_adapter.tag_bucket(name, self.tags())

    def update(self, changed: frozenset[str], before: Resource) -> None:
        """Configure the bucket anew where its properties changed."""
        if removed := sorted(name for name in changed - {"Tags"} if name not in self.properties):
            raise ResourceError(f"taking {', '.join(removed)} from a bucket is not done by the embedded AWS")
        self._configure(changed)
        moto_adapter.tag_bucket(self.id, self.tags())

    def delete(self) -> None:
        """Delete the bucket, which must be empty, as on AWS."""
        self.call("DeleteBucket", Bucket=self.id)

    def _configure(self, names: frozenset[str]) -> None:
        steps: dict[str, Callable[[Any], None]] = {
            "AccessControl": self._set_acl,
            "BucketEncryption": self._set_encryption,
            "CorsConfiguration": self._set_cors,
            "LifecycleConfiguration": self._set_lifecycle,
            "LoggingConfiguration": self._set_logging,
            "OwnershipControls": self._set_ownership,
            "PublicAccessBlockConfiguration": self._set_public_access_block,
            "VersioningConfiguration": self._set_versioning,
        }
        for name, step in steps.items():
            if name in names:
                step(self.properties[name])

    def _set_acl(self, value: str) -> None:
        words_of = "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in value).lstrip("-")
        self.call("PutBucketAcl", Bucket=self.id, ACL=words_of)

    def _set_encryption(self, value: Mapping[str, Any]) -> None:
        rules = [
            {
                "ApplyServerSideEncryptionByDefault": rule.get("ServerSideEncryptionByDefault"),
                "BucketKeyEnabled": rule.get("BucketKeyEnabled"),
            }
            for rule in value["ServerSideEncryptionConfiguration"]
        ]
        self.call("PutBucketEncryption", Bucket=self.id, ServerSideEncryptionConfiguration={"Rules": rules})

    def _set_cors(self, value: Mapping[str, Any]) -> None:
        self.call("PutBucketCors", Bucket=self.id, CORSConfiguration=value)

    def _set_lifecycle(self, value: Mapping[str, Any]) -> None:
        rules = [_lifecycle_rule(rule) for rule in value["Rules"]]
        self.call("PutBucketLifecycleConfiguration", Bucket=self.id, LifecycleConfiguration={"Rules": rules})

    def _set_logging(self, value: Mapping[str, Any]) -> None:
        target = {
            "TargetBucket": value.get("DestinationBucketName", self.id),
            "TargetPrefix": value.get("LogFilePrefix", ""),
        }
        self.call("PutBucketLogging", Bucket=self.id, BucketLoggingStatus={"LoggingEnabled": target})

    def _set_ownership(self, value: Mapping[str, Any]) -> None:
        self.call("PutBucketOwnershipControls", Bucket=self.id, OwnershipControls=value)

    def _set_public_access_block(self, value: Mapping[str, Any]) -> None:
        self.call("PutPublicAccessBlock", Bucket=self.id, PublicAccessBlockConfiguration=value)

    def _set_versioning(self, value: Mapping[str, Any]) -> None:
        self.call("PutBucketVersioning", Bucket=self.id, VersioningConfiguration=value)


_LIFECYCLE_KEYS = words(
    "AbortIncompleteMultipartUpload ExpirationInDays ExpiredObjectDeleteMarker Id NoncurrentVersionExpiration "
    "NoncurrentVersionExpirationInDays Prefix Status"
)


def _lifecycle_rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    """Return a rule as the API takes it, which spells it differently from CloudFormation."""
    if unknown := sorted(set(rule) - _LIFECYCLE_KEYS):
        raise ResourceError(f"property of a lifecycle rule is not done by the embedded AWS: {', '.join(unknown)}")
    expiration = {
        "Days": rule.get("ExpirationInDays"),
        "ExpiredObjectDeleteMarker": rule.get("ExpiredObjectDeleteMarker"),
    }
    expiration = {key: value for key, value in expiration.items() if value is not None}
    noncurrent = rule.get("NoncurrentVersionExpiration")
    if noncurrent is None and "NoncurrentVersionExpirationInDays" in rule:
        noncurrent = {"NoncurrentDays": rule["NoncurrentVersionExpirationInDays"]}
    return {
        "ID": rule.get("Id"),
        "Status": rule["Status"],
        "Filter": {"Prefix": rule.get("Prefix", "")},
        "Expiration": expiration or None,
        "NoncurrentVersionExpiration": noncurrent,
        "AbortIncompleteMultipartUpload": rule.get("AbortIncompleteMultipartUpload"),
    }


class BucketPolicy(Resource):
    """The policy of an S3 bucket."""

    TYPE = "AWS::S3::BucketPolicy"
    SERVICE = "s3"
    PROPERTIES = words("Bucket PolicyDocument")
    IN_PLACE = words("PolicyDocument")

    def create(self) -> None:
        """Set the policy."""
        self.call("PutBucketPolicy", Bucket=self.need("Bucket"), Policy=policy_text(self.need("PolicyDocument")))
        self.physical_id = self.need("Bucket")

    def update(self, changed: frozenset[str], before: Resource) -> None:
        """Set the policy anew."""
        self.call("PutBucketPolicy", Bucket=self.id, Policy=policy_text(self.need("PolicyDocument")))

    def delete(self) -> None:
        """Take the policy away."""
        self.call("DeleteBucketPolicy", Bucket=self.id)


class Repository(Resource):
    """An ECR repository."""

    TYPE = "AWS::ECR::Repository"
    SERVICE = "ecr"
    PROPERTIES = words(
        "EmptyOnDelete EncryptionConfiguration ImageScanningConfiguration ImageTagMutability LifecyclePolicy "
        "RepositoryName RepositoryPolicyText Tags"
    )
    IN_PLACE = PROPERTIES - {"EncryptionConfiguration", "RepositoryName"}
    NAME = "RepositoryName"
    TAGGED = True

    def create(self) -> None:
        """Make the repository."""
        repository = self.call(
            "CreateRepository",
            repositoryName=self.name(longest=256, lower=True),
            tags=self.tag_list(),
            **self.some("EncryptionConfiguration", "ImageScanningConfiguration", "ImageTagMutability"),
        )["repository"]
        self.physical_id = repository["repositoryName"]
        self.attributes = {"Arn": repository["repositoryArn"], "RepositoryUri": repository["repositoryUri"]}
        self._set_policies()

    def update(self, changed: frozenset[str], before: Resource) -> None:
        """Change policies, scanning, mutability and tags."""
        if "ImageTagMutability" in changed:
            mutability = self.get("ImageTagMutability", "MUTABLE")
            self.call("PutImageTagMutability", repositoryName=self.id, imageTagMutability=mutability)
        if "ImageScanningConfiguration" in changed:
            scanning = self.get("ImageScanningConfiguration") or {"ScanOnPush": False}
            self.call("PutImageScanningConfiguration", repositoryName=self.id, imageScanningConfiguration=scanning)
        if "LifecyclePolicy" in changed and "LifecyclePolicy" not in self.properties:
            self.call("DeleteLifecyclePolicy", repositoryName=self.id)
        if "RepositoryPolicyText" in changed and "RepositoryPolicyText" not in self.properties:
            self.call("DeleteRepositoryPolicy", repositoryName=self.id)
        self._set_policies()
        arn = self.attributes["Arn"]
        self.retag(
            before,
            add=lambda tags: self.call("TagResource", resourceArn=arn, tags=key_values(tags)),
            remove=lambda keys: self.call("UntagResource", resourceArn=arn, tagKeys=keys),
        )

    def delete(self) -> None:
        """Delete the repository; its images too if the template says so."""
        self.call("DeleteRepository", repositoryName=self.id, force=self.flag("EmptyOnDelete"))

    def _set_policies(self) -> None:
        lifecycle = self.get("LifecyclePolicy") or {}
        if "LifecyclePolicyText" in lifecycle:
            text = lifecycle["LifecyclePolicyText"]
            self.call("PutLifecyclePolicy", repositoryName=self.id, lifecyclePolicyText=text)
        if "RepositoryPolicyText" in self.properties:
            text = policy_text(self.properties["RepositoryPolicyText"])
            self.call("SetRepositoryPolicy", repositoryName=self.id, policyText=text)


ENTRIES: tuple[type[Resource], ...] = (Bucket, BucketPolicy, Repository)
"""The types of this file."""
