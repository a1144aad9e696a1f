from __future__ import annotations

import random
from datetime import timedelta

import pytest

from readiness.errors import ReadinessError
from readiness.loadgen import template
from readiness.loadgen.requests import Mix
from readiness.model import OpenArrivals, Scenario, Workload


def workload(*scenarios: Scenario) -> Workload:
    return Workload(
        arrivals=OpenArrivals(kind="open", rate_per_s=1),
        ramp=timedelta(0),
        hold=timedelta(seconds=1),
        scenarios=scenarios,
    )


def raw(scenario: Scenario, extra: dict[str, str] | None = None) -> str:
    return Mix(workload(scenario), "host:8080", extra or {}, random.Random(1)).next().raw().decode()


def test_a_request_is_what_the_scenario_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "s3cret")
    scenario = Scenario(
        name="chat",
        method="POST",
        path="/v1/{{kind}}",
        headers={"Authorization": "Bearer {{env:TOKEN}}"},
        body='{"q": "{{ question }}"}',
        variables={"kind": ("a b",), "question": ("What?",)},
    )
    head, _, body = raw(scenario, {"X-Drill": "error"}).partition("\r\n\r\n")
    lines = head.split("\r\n")
    assert lines[0] == "POST /v1/a%20b HTTP/1.1"
    assert "Host: host:8080" in lines
    assert "Authorization: Bearer s3cret" in lines
    assert "X-Drill: error" in lines
    assert body == '{"q": "What?"}'
    assert f"Content-Length: {len(body)}" in lines
    assert any(line.startswith("X-REQUEST-START: 1") for line in lines)


def test_variables_are_drawn_from_their_values() -> None:
    scenario = Scenario(name="a", path="/{{n}}", variables={"n": ("1", "2", "3")})
    mix = Mix(workload(scenario), "h", {}, random.Random(1))
    seen = {mix.next().raw().split(b" ")[1] for _ in range(100)}
    assert seen == {b"/1", b"/2", b"/3"}


def test_variables_get_fresh_values_in_the_share_of_requests_that_is_asked_for_and_all_of_them_together() -> None:
    scenario = Scenario(
        name="a", path="/{{n}}", headers={"X-N": "{{m}}"}, variables={"n": ("1",), "m": ("2",)}, unique_ratio=0.25
    )
    mix = Mix(workload(scenario), "h", {}, random.Random(1))
    sent = [mix.next().raw().decode().split("\r\n") for _ in range(2000)]
    seen = [(lines[0].split(" ")[1], next(line for line in lines if line.startswith("X-N"))) for lines in sent]
    fresh = [(path, header) for path, header in seen if path != "/1"]
    assert 0.21 < len(fresh) / 2000 < 0.29
    assert len({path for path, _ in fresh}) == len({header for _, header in fresh}) == len(fresh)
    assert all(header == "X-N: 2" for path, header in seen if path == "/1")


def test_unique_is_never_used_twice_not_even_by_the_same_seed() -> None:
    scenario = Scenario(name="a", path="/{{unique}}")
    mixes = [Mix(workload(scenario), "h", {}, random.Random(1)) for _ in range(2)]
    seen = [mix.next().raw().split(b" ")[1] for mix in mixes for _ in range(50)]
    assert len(set(seen)) == 100


def test_scenarios_are_drawn_by_weight() -> None:
    mix = Mix(workload(Scenario(name="a", weight=3, path="/"), Scenario(name="b", path="/")), "h", {}, random.Random(1))
    names = [mix.next().name for _ in range(4000)]
    assert 0.72 < names.count("a") / 4000 < 0.78


def test_a_header_value_cannot_smuggle_another_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "x\r\nX-Admin: yes")
    with pytest.raises(ReadinessError, match="HTTP forbids"):
        raw(Scenario(name="a", path="/", headers={"Authorization": "{{env:TOKEN}}"}))


@pytest.mark.parametrize("text", ["/{{nothing}}", "/{{env:ABSENT_VARIABLE}}"])
def test_a_placeholder_that_nothing_fills_is_refused_before_and_during(text: str) -> None:
    scenario = Scenario(name="a", path=text)
    with pytest.raises(ReadinessError, match="'a' asks for"):
        template.check(workload(scenario), ["TOKEN"])
    with pytest.raises(ReadinessError, match="'a' asks for"):
        raw(scenario)


def test_nothing_secret_is_left_in_a_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "s3cret")
    scenario = Scenario(name="a", path="/", headers={"X-T": "{{env:TOKEN}}", "Authorization": "Bearer hunter2"})
    secrets = template.secrets_of(workload(scenario), {"X-Api-Key": "abc"})
    told = template.redact("s3cret, Bearer hunter2, hunter2, abc and 200", secrets)
    assert told == "***, ***, ***, *** and 200"
