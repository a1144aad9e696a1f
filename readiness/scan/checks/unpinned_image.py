"""An image must be named so that what was judged is what will run."""

from __future__ import annotations

from collections.abc import Iterator

from readiness.model import ControlFamily, Severity
from readiness.scan.own_check import OwnCheck
from readiness.scan.template import Part
from readiness.scan.values import as_table, render, tables


def _images(part: Part) -> Iterator[tuple[str, str]]:
    """Yield (who runs it, image) of a task definition or an image function."""
    for container in tables(part.properties.get("ContainerDefinitions")):
        yield f"container {render(container.get('Name'), part.template)}", render(container.get("Image"), part.template)
    image = as_table(part.properties.get("Code")).get("ImageUri")
    if image is not None:
        yield "the function", render(image, part.template)


def faults(part: Part) -> Iterator[str]:
    """Yield each image without a tag or with tag ``latest``; what is wholly a reference is judged where it is set."""
    for who, image in _images(part):
        last = image.rsplit("/", 1)[-1]
        if "@" in last or last.startswith("${"):
            continue
        tag = last.partition(":")[2]
        if tag in ("", "latest"):
            yield f"{who} runs {image!r}, " + ("whose tag moves" if tag else "which has no tag")


CHECK = OwnCheck(
    id="unpinned-image",
    claim="Every image is pinned to a version or a digest",
    severity=Severity.HIGH,
    family=ControlFamily.SUPPLY_CHAIN,
    looks_at=("AWS::ECS::TaskDefinition", "AWS::Lambda::Function"),
    faults=faults,
    why="A name that moves is another image after the review: a restarted task runs code that nobody judged.",
    mend="Name a version tag or, better, a digest: ContainerImage.from_registry('name@sha256:...').",
    link="https://docs.aws.amazon.com/AmazonECS/latest/developerguide/container-considerations.html",
)
