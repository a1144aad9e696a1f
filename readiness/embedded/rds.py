"""RDS: what moto keeps of a cluster that AWS does not.

There is no database behind a cluster: it is available at once, under an address that nothing listens on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from readiness.embedded.moto_adapter import Action, backend, call_moto


class Rds:
    """Deletes a cluster's automated snapshots with it."""

    def __init__(self) -> None:
        self.actions: Mapping[str, Mapping[str, Action]] = {"rds": {"DeleteDBCluster": self._delete_cluster}}

    def start(self) -> None:
        """Nothing to start."""

    def stop(self) -> None:
        """Nothing to stop."""

    def _delete_cluster(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """Delete a cluster, and its automated backups unless they are to be kept.

        https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DeleteDBCluster.html
        """
        answer = call_moto("rds", "DeleteDBCluster", params)
        if params.get("DeleteAutomatedBackups", True):
            snapshots = backend("rds").cluster_snapshots
            identifier = params["DBClusterIdentifier"].lower()
            for name, snapshot in list(snapshots.items()):
                if snapshot.snapshot_type == "automated" and snapshot.db_cluster_identifier.lower() == identifier:
                    del snapshots[name]
        return answer
