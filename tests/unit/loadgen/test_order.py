from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from readiness.errors import ReadinessError
from readiness.loadgen.order import Order, decode, encode
from readiness.plan import load_plan

PLAN = Path(__file__).parents[3] / "readiness.toml"


def order() -> Order:
    return Order(
        role="master",
        run_id="r1",
        master_port=5557,
        workers=2,
        target="http://127.0.0.1:8080",
        workload=replace(load_plan(PLAN).workload, timeout=timedelta(milliseconds=2500)),
        headers={"X-Drill": "error"},
    )


def test_an_order_arrives_as_it_was_given_and_fits_ecs_with_the_plan_of_this_repository() -> None:
    text = encode(order())
    assert decode(text) == order()
    assert len(text) < 4096


@pytest.mark.parametrize("text", ["", "%%%", "aGVsbG8=", encode(order())[:-12]])
def test_what_is_no_order_is_refused(text: str) -> None:
    with pytest.raises(ReadinessError, match="order cannot be read"):
        decode(text)
