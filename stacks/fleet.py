"""The fleet: task definitions of the load generators, run on demand. Nothing idles."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from aws_cdk import Aws, Duration, IgnoreMode, RemovalPolicy
from aws_cdk import aws_ecr_assets as assets
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_logs as logs
from constructs import Construct

from readiness import contract
from readiness.model import Fleet as FleetPlan

REPOSITORY = Path(__file__).resolve().parent.parent
_IMAGE_INPUTS = ("fleet/Dockerfile", "fleet/requirements.txt", "readiness/**/*.py", "workload/**")
"""All that the image is built from: another file's change builds no new image."""

_USER = "10001:10001"
"""Said here too, so that an image that the plan names can't run as root."""


class Fleet(Construct):
    """A master and a worker task definition of one image; the order comes with ``run_task``, results by the log.

    Attributes:
        master: Task definition of the master.
        worker: Task definition of the workers.
        log_group: Where both write progress and results.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, plan: FleetPlan, service_secrets: Mapping[str, ecs.Secret]
    ) -> None:
        super().__init__(scope, construct_id)
        self.log_group = logs.LogGroup(
            self, "Logs", retention=logs.RetentionDays.ONE_WEEK, removal_policy=RemovalPolicy.DESTROY
        )
        image = self._image(plan)
        secrets = {variable: service_secrets[source] for variable, source in plan.secrets.items()}
        self.master = self._definition("Master", plan, image, secrets, ports=(contract.FLEET_MASTER_PORT,))
        self.worker = self._definition("Worker", plan, image, secrets, ports=())

    def _image(self, plan: FleetPlan) -> ecs.ContainerImage:
        """Return the image: the environment's, else the plan's, else one built from this repository on deployment."""
        named = os.environ.get(contract.FLEET_IMAGE_VARIABLE) or plan.image
        if named:
            return ecs.ContainerImage.from_registry(named)
        return ecs.ContainerImage.from_asset(
            str(REPOSITORY),
            file="fleet/Dockerfile",
            platform=assets.Platform.LINUX_AMD64,
            ignore_mode=IgnoreMode.DOCKER,
            exclude=["**", *(f"!{pattern}" for pattern in _IMAGE_INPUTS)],
        )

    def _definition(
        self,
        construct_id: str,
        plan: FleetPlan,
        image: ecs.ContainerImage,
        secrets: Mapping[str, ecs.Secret],
        *,
        ports: tuple[int, ...],
    ) -> ecs.FargateTaskDefinition:
        definition = ecs.FargateTaskDefinition(
            self,
            construct_id,
            family=f"{Aws.STACK_NAME}-fleet-{construct_id.lower()}",
            cpu=plan.cpu,
            memory_limit_mib=plan.memory_mib,
        )
        definition.add_container(
            contract.FLEET_CONTAINER,
            image=image,
            secrets=dict(secrets),
            user=_USER,
            readonly_root_filesystem=True,
            port_mappings=[ecs.PortMapping(container_port=port) for port in ports],
            # An orderly stop waits for the last answers; ECS's default of 30 s would cut it off.
            stop_timeout=Duration.minutes(2),
            # The results travel through the log: losing a line is losing evidence.
            logging=ecs.LogDrivers.aws_logs(
                stream_prefix=contract.FLEET_LOG_STREAM_PREFIX,
                log_group=self.log_group,
                mode=ecs.AwsLogDriverMode.BLOCKING,
            ),
        )
        return definition
