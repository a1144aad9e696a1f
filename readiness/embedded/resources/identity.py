"""IAM and KMS: roles, policies and keys.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_IAM.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_KMS.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from readiness.embedded.resources.base import Resource, arn, policy_text, random_suffix, words


class Role(Resource):
    """An IAM role with its inline policies and attached managed policies."""

    TYPE = "AWS::IAM::Role"
    SERVICE = "iam"
    PROPERTIES = words(
        "AssumeRolePolicyDocument Description ManagedPolicyArns MaxSessionDuration Path PermissionsBoundary Policies "
        "RoleName Tags"
    )
    IN_PLACE = words("AssumeRolePolicyDocument Description ManagedPolicyArns MaxSessionDuration Policies Tags")
    NAME = "RoleName"
    TAGGED = True

    def create(self) -> None:
        """Make the role, then give it its policies."""
        name = self.name(longest=64)
        role = self.call(
            "CreateRole",
            RoleName=name,
            AssumeRolePolicyDocument=policy_text(self.need("AssumeRolePolicyDocument")),
            Tags=self.tag_list(),
            **self.some("Description", "MaxSessionDuration", "Path", "PermissionsBoundary"),
        )["Role"]
        self.physical_id = name
        self.attributes = {"Arn": role["Arn"], "RoleId": role["RoleId"]}
        self._bring_policies({}, self._inline(), [], self._managed())

    def update(self, changed: frozenset[str], before: Resource) -> None:
        """Change who may assume the role, what it may do, and its tags."""
        assert isinstance(before, Role)
        if "AssumeRolePolicyDocument" in changed:
            document = policy_text(self.need("AssumeRolePolicyDocument"))
            self.call("UpdateAssumeRolePolicy", RoleName=self.id, PolicyDocument=document)
        if changed & {"Description", "MaxSessionDuration"}:
            self.call("UpdateRole", RoleName=self.id, **self.some("Description", "MaxSessionDuration"))
        self._bring_policies(before._inline(), self._inline(), before._managed(), self._managed())
        self.retag(
            before,
            add=lambda tags: self.call(
                "TagRole", RoleName=self.id, Tags=[{"Key": k, "Value": v} for k, v in tags.items()]
            ),
            remove=lambda keys: self.call("UntagRole", RoleName=self.id, TagKeys=keys),
        )

    def delete(self) -> None:
        """Take the role's policies away and delete it."""
        attached = self.call("ListAttachedRolePolicies", RoleName=self.id)["AttachedPolicies"]
        for policy in attached:
            self.call("DetachRolePolicy", RoleName=self.id, PolicyArn=policy["PolicyArn"])
        for name in self.call("ListRolePolicies", RoleName=self.id)["PolicyNames"]:
            self.call("DeleteRolePolicy", RoleName=self.id, PolicyName=name)
        self.call("DeleteRole", RoleName=self.id)

    def _inline(self) -> dict[str, str]:
        return {policy["PolicyName"]: policy_text(policy["PolicyDocument"]) for policy in self.get("Policies") or []}

    def _managed(self) -> list[str]:
        return list(self.get("ManagedPolicyArns") or [])

    def _bring_policies(
        self, old: Mapping[str, str], new: Mapping[str, str], old_managed: list[str], new_managed: list[str]
    ) -> None:
        for name in sorted(old.keys() - new.keys()):
            self.call("DeleteRolePolicy", RoleName=self.id, PolicyName=name)
        for name, document in new.items():
            if old.get(name) != document:
                self.call("PutRolePolicy", RoleName=self.id, PolicyName=name, PolicyDocument=document)
        for policy in sorted(set(old_managed) - set(new_managed)):
            self.call("DetachRolePolicy", RoleName=self.id, PolicyArn=policy)
        for policy in new_managed:
            if policy not in old_managed:
                self.call("AttachRolePolicy", RoleName=self.id, PolicyArn=policy)


_PRINCIPALS = (("Roles", "Role", "RoleName"), ("Groups", "Group", "GroupName"), ("Users", "User", "UserName"))


class InlinePolicy(Resource):
    """A policy within roles, groups or users."""

    TYPE = "AWS::IAM::Policy"
    SERVICE = "iam"
    PROPERTIES = words("Groups PolicyDocument PolicyName Roles Users")
    IN_PLACE = words("Groups PolicyDocument Roles Users")
    NAME: ClassVar[str | None] = None  # unique within each principal only, so a replacement may bear the same name

    def create(self) -> None:
        """Put the policy into every principal."""
        self.physical_id = f"{self.context.stack_name[:4]}-{self.context.logical_id[:4]}-{random_suffix(12)}"
        self.attributes = {"Id": self.id}
        self._put()

    def update(self, changed: frozenset[str], before: Resource) -> None:
        """Put the policy where it belongs now, and take it from where it no longer does."""
        self._put()
        for key, kind, parameter in _PRINCIPALS:
            for principal in sorted(set(before.get(key) or []) - set(self.get(key) or [])):
                self._remove(kind, parameter, principal)

    def delete(self) -> None:
        """Take the policy from every principal."""
        for key, kind, parameter in _PRINCIPALS:
            for principal in self.get(key) or []:
                self._remove(kind, parameter, principal)

    def _put(self) -> None:
        document = policy_text(self.need("PolicyDocument"))
        for key, kind, parameter in _PRINCIPALS:
            for principal in self.get(key) or []:
                named = {parameter: principal, "PolicyName": self.need("PolicyName")}
                self.call(f"Put{kind}Policy", PolicyDocument=document, **named)

    def _remove(self, kind: str, parameter: str, principal: str) -> None:
        self.call(f"Delete{kind}Policy", **{parameter: principal, "PolicyName": self.need("PolicyName")})


class ManagedPolicy(Resource):
    """A customer managed policy, attached to roles, groups or users."""

    TYPE = "AWS::IAM::ManagedPolicy"
    SERVICE = "iam"
    PROPERTIES = words("Description Groups ManagedPolicyName Path PolicyDocument Roles Users")
    IN_PLACE = words("Groups PolicyDocument Roles Users")
    NAME = "ManagedPolicyName"

    def create(self) -> None:
        """Make the policy and attach it."""
        policy = self.call(
            "CreatePolicy",
            PolicyName=self.name(longest=128),
            PolicyDocument=policy_text(self.need("PolicyDocument")),
            **self.some("Description", "Path"),
        )["Policy"]
        self.physical_id = policy["Arn"]
        self.attributes = {"PolicyArn": policy["Arn"], "PolicyId": policy["PolicyId"]}
        self._attach({})

    def update(self, changed: frozenset[str], before: Resource) -> None:
        """Make a new default version of the policy, and attach it where it belongs now."""
        if "PolicyDocument" in changed:
            document = policy_text(self.need("PolicyDocument"))
            versions = self.call("ListPolicyVersions", PolicyArn=self.id)["Versions"]
            self.call("CreatePolicyVersion", PolicyArn=self.id, PolicyDocument=document, SetAsDefault=True)
            for version in versions:
                self.call("DeletePolicyVersion", PolicyArn=self.id, VersionId=version["VersionId"])
        self._attach(before.properties)

    def delete(self) -> None:
        """Detach the policy everywhere and delete it with all its versions."""
        entities = self.call("ListEntitiesForPolicy", PolicyArn=self.id)
        for key, kind, parameter in _PRINCIPALS:
            for entity in entities.get(f"Policy{key}", []):
                self.call(f"Detach{kind}Policy", **{parameter: entity[parameter], "PolicyArn": self.id})
        for version in self.call("ListPolicyVersions", PolicyArn=self.id)["Versions"]:
            if not version["IsDefaultVersion"]:
                self.call("DeletePolicyVersion", PolicyArn=self.id, VersionId=version["VersionId"])
        self.call("DeletePolicy", PolicyArn=self.id)

    def _attach(self, before: Mapping[str, Any]) -> None:
        for key, kind, parameter in _PRINCIPALS:
            old, new = list(before.get(key) or []), list(self.get(key) or [])
            for principal in [name for name in old if name not in new]:
                self.call(f"Detach{kind}Policy", **{parameter: principal, "PolicyArn": self.id})
            for principal in [name for name in new if name not in old]:
                self.call(f"Attach{kind}Policy", **{parameter: principal, "PolicyArn": self.id})


class Key(Resource):
    """A KMS key."""

    TYPE = "AWS::KMS::Key"
    SERVICE = "kms"
    PROPERTIES = words(
        "Description EnableKeyRotation Enabled KeyPolicy KeySpec KeyUsage PendingWindowInDays RotationPeriodInDays Tags"
    )
    IN_PLACE = words("Description EnableKeyRotation Enabled KeyPolicy PendingWindowInDays RotationPeriodInDays Tags")
    TAGGED = True

    def create(self) -> None:
        """Make the key."""
        metadata = self.call(
            "CreateKey",
            Policy=policy_text(self.get("KeyPolicy")) if "KeyPolicy" in self.properties else None,
            Tags=self._spelled(self.tags()),
            **self.some("Description", "KeySpec", "KeyUsage"),
        )["KeyMetadata"]
        self.physical_id = metadata["KeyId"]
        self.attributes = {"Arn": metadata["Arn"], "KeyId": self.id}
        self._set_rotation()
        if not self.flag("Enabled", default=True):
            self.call("DisableKey", KeyId=self.id)

    def update(self, changed: frozenset[str], before: Resource) -> None:
        """Change policy, rotation, state and tags."""
        if "KeyPolicy" in changed:
            self.call("PutKeyPolicy", KeyId=self.id, PolicyName="default", Policy=policy_text(self.need("KeyPolicy")))
        if "Description" in changed:
            self.call("UpdateKeyDescription", KeyId=self.id, Description=self.get("Description", ""))
        if changed & {"EnableKeyRotation", "RotationPeriodInDays"}:
            self._set_rotation()
        if "Enabled" in changed:
            self.call("EnableKey" if self.flag("Enabled", default=True) else "DisableKey", KeyId=self.id)
        self.retag(
            before,
            add=lambda tags: self.call("TagResource", KeyId=self.id, Tags=self._spelled(tags)),
            remove=lambda keys: self.call("UntagResource", KeyId=self.id, TagKeys=keys),
        )

    def delete(self) -> None:
        """Schedule the key's deletion: KMS shows it as pending until the window is over, as on AWS."""
        if self.call("DescribeKey", KeyId=self.id)["KeyMetadata"]["KeyState"] != "PendingDeletion":
            self.call("ScheduleKeyDeletion", KeyId=self.id, PendingWindowInDays=self.get("PendingWindowInDays", 30))

    def _set_rotation(self) -> None:
        if self.flag("EnableKeyRotation"):
            self.call("EnableKeyRotation", KeyId=self.id, **self.some("RotationPeriodInDays"))
        else:
            self.call("DisableKeyRotation", KeyId=self.id)

    @staticmethod
    def _spelled(tags: Mapping[str, str]) -> list[dict[str, str]]:
        return [{"TagKey": key, "TagValue": value} for key, value in tags.items()]


class Alias(Resource):
    """A name for a KMS key."""

    TYPE = "AWS::KMS::Alias"
    SERVICE = "kms"
    PROPERTIES = words("AliasName TargetKeyId")
    IN_PLACE = words("TargetKeyId")
    NAME = "AliasName"

    def create(self) -> None:
        """Make the alias."""
        self.call("CreateAlias", **self.some("AliasName", "TargetKeyId"))
        self.physical_id = self.need("AliasName")
        self.attributes = {"Arn": arn("kms", self.context.region, self.id)}

    def update(self, changed: frozenset[str], before: Resource) -> None:
        """Point the alias at another key."""
        self.call("UpdateAlias", **self.some("AliasName", "TargetKeyId"))

    def delete(self) -> None:
        """Delete the alias."""
        self.call("DeleteAlias", AliasName=self.id)


ENTRIES: tuple[type[Resource], ...] = (Alias, InlinePolicy, Key, ManagedPolicy, Role)
"""The types of this file."""
