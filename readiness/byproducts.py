"""What services make by themselves for a run, outside of its stack, and what outlives it: log groups and snapshots.

CloudFormation knows nothing of them and deletes none of them. They are known by the names that they carry: the run's
own, or that of one of its resources.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from readiness.cloud import is_gone, translated

Clients = Callable[[str], Any]

TELLING = 16
"""A physical name of at least so many characters is no coincidence within another name."""


@dataclass(frozen=True, kw_only=True)
class Byproduct:
    """One thing that a service made by itself.

    Attributes:
        kind: The kind's name in ``KINDS``.
        name: Its name, as its service spells it.
    """

    kind: str
    name: str


@dataclass(frozen=True, kw_only=True)
class Kind:
    """How things of one kind are listed and deleted.

    Attributes:
        source: Where it shows in the evidence: ``log-group`` or ``snapshot``.
        listing: boto3 method of the service's client, which pages.
        key: Key of the list in its answer.
        name: Key of the name in each description.
        deletion: boto3 method that deletes one.
        parameter: Its parameter for the name.
    """

    source: str
    service: str
    listing: str
    key: str
    name: str
    deletion: str
    parameter: str


KINDS: Mapping[str, Kind] = {
    "log-group": Kind(
        source="log-group",
        service="logs",
        listing="describe_log_groups",
        key="logGroups",
        name="logGroupName",
        deletion="delete_log_group",
        parameter="logGroupName",
    ),
    "database-cluster-snapshot": Kind(
        source="snapshot",
        service="rds",
        listing="describe_db_cluster_snapshots",
        key="DBClusterSnapshots",
        name="DBClusterSnapshotIdentifier",
        deletion="delete_db_cluster_snapshot",
        parameter="DBClusterSnapshotIdentifier",
    ),
    "database-snapshot": Kind(
        source="snapshot",
        service="rds",
        listing="describe_db_snapshots",
        key="DBSnapshots",
        name="DBSnapshotIdentifier",
        deletion="delete_db_snapshot",
        parameter="DBSnapshotIdentifier",
    ),
    "cache-snapshot": Kind(
        source="snapshot",
        service="elasticache",
        listing="describe_snapshots",
        key="Snapshots",
        name="SnapshotName",
        deletion="delete_snapshot",
        parameter="SnapshotName",
    ),
}
"""Each kind that is looked for. A last snapshot, taken when a database or a cache is deleted, stays.
https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/USER_DeleteCluster.html
https://docs.aws.amazon.com/AmazonElastiCache/latest/dg/backups-final.html
"""


def carrying(clients: Clients, names: tuple[str, ...]) -> Iterator[Byproduct]:
    """Yield everything of ``KINDS`` that carries one of the names.

    Raises:
        CloudError: a service does not tell.
    """
    for kind, how in KINDS.items():
        with translated(f"Listing what there is of the kind {kind}"):
            pages = clients(how.service).get_paginator(how.listing).paginate()
            found = [each[how.name] for page in pages for each in page[how.key]]
        yield from (Byproduct(kind=kind, name=name) for name in found if _carries(name, names))


def _carries(text: str, names: tuple[str, ...]) -> bool:
    """Say whether *text* holds one of the names, whole: the run of ``ada`` is not the one of ``adam``."""
    return any(_whole(name).search(text) for name in names if len(name) >= TELLING and name in text)


def _whole(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])")


def delete(clients: Clients, found: Byproduct) -> None:
    """Delete one; that it is gone already is no error.

    Raises:
        CloudError: its service refuses.
    """
    how = KINDS[found.kind]
    with translated(f"Deleting the {found.kind} {found.name}"):
        try:
            getattr(clients(how.service), how.deletion)(**{how.parameter: found.name})
        except ClientError as error:
            if not is_gone(error):
                raise
