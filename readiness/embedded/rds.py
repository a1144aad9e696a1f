"""RDS: what moto leaves behind when a cluster is deleted.

https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/Welcome.html

There is no database behind it: a cluster is available at once, under an address that nothing listens on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from readiness.embedded.moto_adapter import Action, backend, call_moto


class Rds:
    """The end of database clusters."""

    def __init__(self) -> None:
        self.actions: Mapping[str, Mapping[str, Action]] = {"rds": {"DeleteDBCluster": self._delete_cluster}}

    def start(self) -> None:
        """Nothing runs."""

    def stop(self) -> None:
        """Nothing runs."""

    def _delete_cluster(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DeleteDBCluster.html.

        Automated snapshots go with the cluster, unless the caller wants to keep the automated backups.
        """
        answer = call_moto("rds", "DeleteDBCluster", params)
        if params.get("DeleteAutomatedBackups", True):
            snapshots = backend("rds").cluster_snapshots
            for identifier in list(snapshots):
                if identifier.startswith(f"rds:{params['DBClusterIdentifier']}-"):
                    del snapshots[identifier]
        return answer
