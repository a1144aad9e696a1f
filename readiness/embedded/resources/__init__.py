"""The resource types that the embedded AWS can make, one entry each."""

from __future__ import annotations

from readiness.embedded.resources import compute, data, ec2, identity, messaging, monitoring, storage, traffic
from readiness.embedded.resources.base import Cancelled, Context, Resource, ResourceError

__all__ = ["ENTRIES", "Cancelled", "Context", "Resource", "ResourceError"]

ENTRIES: dict[str, type[Resource]] = {
    entry.TYPE: entry
    for module in (compute, data, ec2, identity, messaging, monitoring, storage, traffic)
    for entry in module.ENTRIES
}
"""Every entry by the name of its type."""
