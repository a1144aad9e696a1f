"""The templates pass the scanners: what is left open is waived with a reason, or not blocking."""

from __future__ import annotations

import pytest

from readiness.model import Severity
from readiness.scan import CFN_LINT, CHECKOV, scan
from readiness.scan.findings import findings, gaps
from readiness.waivers import load_waivers, matches
from tests.templates.conftest import REPOSITORY, Synthesized

BLOCKING = (Severity.CRITICAL, Severity.HIGH)


@pytest.mark.parametrize("scanner", [CFN_LINT, CHECKOV])
def test_no_critical_and_no_high_that_nobody_waived(any_plan: Synthesized, scanner: str) -> None:
    seen = scan((any_plan.path,), any_plan.plan.aws.region, (scanner,))
    assert not gaps(seen, (scanner,), ())
    waivers = load_waivers(REPOSITORY / "waivers.toml", any_plan.plan.max_waiver_age)
    blocking = [finding for finding in findings(seen) if finding.severity in BLOCKING]
    if any_plan.plan.service.certificate_arn:
        assert not blocking, "with a certificate there is nothing to waive"
    assert not [finding for finding in blocking if not any(matches(waiver, finding) for waiver in waivers)]


def test_every_waiver_is_used(default: Synthesized) -> None:
    seen = scan((default.path,), default.plan.aws.region, (CHECKOV,))
    found = findings(seen)
    for waiver in load_waivers(REPOSITORY / "waivers.toml", default.plan.max_waiver_age):
        assert [finding for finding in found if matches(waiver, finding)], waiver.rule
