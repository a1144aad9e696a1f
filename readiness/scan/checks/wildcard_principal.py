"""A policy that lets anybody in."""

from __future__ import annotations

from collections.abc import Iterator

from readiness.model import ControlFamily, Severity
from readiness.scan.own_check import OwnCheck
from readiness.scan.policies import allows, documents, is_anybody, is_confined
from readiness.scan.template import Part


def faults(part: Part) -> Iterator[str]:
    """Yield each Allow statement for everybody that no condition confines to somebody."""
    if part.kind == "AWS::Lambda::Permission":
        confined = any(part.properties.get(key) for key in ("SourceArn", "SourceAccount", "PrincipalOrgID"))
        if part.properties.get("Principal") == "*" and not confined:
            yield "lets anybody invoke the function"
        return
    for document in documents(part.properties):
        for statement in allows(document):
            who = "NotPrincipal" if "NotPrincipal" in statement else "Principal"
            open_to_all = who == "NotPrincipal" or is_anybody(statement.get("Principal"))
            if open_to_all and not is_confined(statement):
                name = statement.get("Sid") or statement.get("Action")
                yield f"statement {name} allows {'all but a few' if who == 'NotPrincipal' else 'everybody'}"


CHECK = OwnCheck(
    id="wildcard-principal",
    claim="No policy lets everybody in",
    severity=Severity.CRITICAL,
    family=ControlFamily.IAM,
    looks_at=(
        "AWS::ApiGateway::RestApi",
        "AWS::Backup::BackupVault",
        "AWS::CodeArtifact::Domain",
        "AWS::CodeArtifact::Repository",
        "AWS::ECR::RegistryPolicy",
        "AWS::ECR::Repository",
        "AWS::EFS::FileSystem",
        "AWS::Events::EventBusPolicy",
        "AWS::IAM::Role",
        "AWS::KMS::Key",
        "AWS::KMS::ReplicaKey",
        "AWS::Lambda::LayerVersionPermission",
        "AWS::Lambda::Permission",
        "AWS::Logs::ResourcePolicy",
        "AWS::OpenSearchService::Domain",
        "AWS::S3::BucketPolicy",
        "AWS::SNS::TopicInlinePolicy",
        "AWS::SNS::TopicPolicy",
        "AWS::SQS::QueueInlinePolicy",
        "AWS::SQS::QueuePolicy",
        "AWS::SecretsManager::ResourcePolicy",
    ),
    faults=faults,
    why="Any AWS account, or anybody at all, may use the resource or become the role.",
    mend="Name the principal (iam.ServicePrincipal, iam.AccountPrincipal) or add a condition such as aws:SourceArn.",
    link="https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html",
    same_fault=("checkov/CKV_AWS_32", "checkov/CKV_AWS_33", "checkov/CKV_AWS_60"),
)
