"""Names that both sides of CloudFormation must spell alike: the stacks write them, the harness reads them."""

from __future__ import annotations

from typing import Final

STACK_ID: Final = "ReadinessStack"
"""Construct id of the stack, as ``cdk deploy ReadinessStack`` names it."""

STACK_NAME_PREFIX: Final = "readiness-"
"""Stack name = this prefix + run id, so that several runs live side by side."""

TAG_RUN_ID: Final = "readiness:run-id"
TAG_OWNER: Final = "readiness:owner"
TAG_EXPIRES_AT: Final = "readiness:expires-at"
"""Value: ISO 8601 instant in UTC."""

CONTEXT_RUN_ID: Final = "run_id"
CONTEXT_EXPIRES_AT: Final = "expires_at"
CONTEXT_PLAN: Final = "plan"
"""CDK context key: path of the plan, relative to the repository; default ``readiness.toml``."""

FLEET_IMAGE_VARIABLE: Final = "READINESS_FLEET_IMAGE"
"""Environment variable naming the fleet's image; it outranks the plan, so that no image has to be built."""

RUN_VARIABLE: Final = "READINESS_RUN_ID"
"""Every program that a run starts carries it: whoever finishes a killed run's teardown ends what it left running."""

TIME_SCALE_VARIABLE: Final = "READINESS_TIME_SCALE"
"""Environment variable by which an emulated AWS that was started elsewhere says how much it shortens waiting times."""

DRILL_HEADER: Final = "X-Readiness-Drill"
"""Requests that carry it are matched by the fault rule. Only the harness's own fleet sends it."""

DRILL_ERROR: Final = "error"
"""Value of ``DRILL_HEADER``: the fault target answers 500."""

DRILL_SLOW: Final = "slow"
"""Value of ``DRILL_HEADER``: the fault target answers 200 after ``FAULT_DELAY_VARIABLE`` seconds."""

PROBE_HEADER: Final = "X-Readiness-Probe"
"""What the synthetic probe sends with every request, so that a drill can single it out."""

PROBE: Final = "probe"
"""What the probe's alarm is called among those of objectives; no objective may have this id."""

FAULT_DELAY_VARIABLE: Final = "FAULT_DELAY_S"

ADVICE: Final = "cdk-nag"
"""What the stacks' second opinion is called in the cloud assembly's ``validation-report.json``."""


class Output:
    """Keys of the stack's outputs."""

    RUN_ID: Final = "RunId"
    EXPIRES_AT: Final = "ExpiresAt"
    SERVICE_URL: Final = "ServiceUrl"
    CLUSTER: Final = "Cluster"
    SERVICE: Final = "Service"
    LOAD_BALANCER_ARN: Final = "LoadBalancerArn"
    LISTENER_ARN: Final = "ListenerArn"
    PRODUCTION_RULE_ARN: Final = "ProductionRuleArn"
    FAULT_RULE_ARN: Final = "FaultRuleArn"
    PRIMARY_TARGET_GROUP_ARN: Final = "PrimaryTargetGroupArn"
    ALTERNATE_TARGET_GROUP_ARN: Final = "AlternateTargetGroupArn"
    FAULT_TARGET_GROUP_ARN: Final = "FaultTargetGroupArn"
    ALARMS: Final = "Alarms"
    """JSON object: objective id -> alarm name."""
    TOPIC_ARN: Final = "TopicArn"
    INBOX_URL: Final = "InboxUrl"
    FLEET_MASTER_TASK_DEFINITION: Final = "FleetMasterTaskDefinition"
    FLEET_WORKER_TASK_DEFINITION: Final = "FleetWorkerTaskDefinition"
    FLEET_SUBNETS: Final = "FleetSubnets"
    """Comma-separated subnet ids."""
    FLEET_SECURITY_GROUP: Final = "FleetSecurityGroup"
    FLEET_LOG_GROUP: Final = "FleetLogGroup"
    SERVICE_LOG_GROUP: Final = "ServiceLogGroup"
    REAPER_SCHEDULE: Final = "ReaperSchedule"


FLEET_CONTAINER: Final = "fleet"
"""Name of the one container in the fleet's task definitions; its log streams are ``fleet/fleet/<task id>``."""

FLEET_LOG_STREAM_PREFIX: Final = "fleet"
FLEET_MASTER_PORT: Final = 5557
FLEET_ORDER_VARIABLE: Final = "READINESS_LOAD_ORDER"
"""Environment variable with the fleet's order: JSON of ``readiness.loadgen.order.Order``, zlib-compressed, base64."""

SERVICE_CONTAINER: Final = "service"
"""Name of the service's container in its task definition."""

NEVER_WAIVED: Final = ("go-live/not-go", "go-live/not-passed", "go-live/other-digest", "go-live/other-environment")
"""Rules of findings that say that something else than what was approved is live: no waiver can approve it."""

RETAINED_RULE: Final = "leftovers/retained"
"""Rule of a finding that tells of something that stays because the plan says so."""

RETAINED_MISSING_RULE: Final = "leftovers/retained-is-missing"
"""Rule of a finding that tells of something that should have stayed and is not there."""
