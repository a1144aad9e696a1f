"""Files that a workload names: the fleet must have what the harness saw."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from readiness.errors import ReadinessError
from readiness.loadgen import template, workload_files
from readiness.loadgen.order import Order
from readiness.model import LocustfileArrivals, OpenArrivals, Scenario, Workload

CHAT = Scenario(name="chat", method="POST", path="/", body_file="bodies/chat.json")
WORKLOAD = Workload(
    arrivals=OpenArrivals(kind="open", rate_per_s=1),
    ramp=timedelta(0),
    hold=timedelta(seconds=1),
    scenarios=(CHAT, Scenario(name="home", path="/")),
)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "workload" / "bodies").mkdir(parents=True)
    (tmp_path / "workload" / "bodies" / "chat.json").write_text('{"q": "{{unique}} ü"}')
    (tmp_path / "workload" / "locustfile.py").write_text("import shop")
    (tmp_path / "workload" / "shop.py").write_text("")
    (tmp_path / "workload" / "notes.txt").write_text("")
    return tmp_path


def order(files: dict[str, bytes]) -> Order:
    return Order(
        role="worker",
        run_id="r1",
        master_port=5557,
        workers=1,
        target="http://h:1",
        workload=WORKLOAD,
        files=workload_files.digests(files),
    )


def test_an_order_is_completed_with_the_bodies_that_the_harness_saw(repository: Path) -> None:
    files = workload_files.contents(repository, WORKLOAD)
    assert list(files) == ["bodies/chat.json"]
    completed = workload_files.complete(order(files), repository / "workload").workload
    assert [(each.body, each.body_file) for each in completed.scenarios] == [
        ('{"q": "{{unique}} ü"}', None),
        (None, None),
    ]


def test_a_fleet_with_another_file_refuses_to_start(repository: Path) -> None:
    told = order(workload_files.contents(repository, WORKLOAD))
    (repository / "workload" / "bodies" / "chat.json").write_text("{}")
    with pytest.raises(ReadinessError, match=r"chat\.json of the fleet is not the file that the harness has"):
        workload_files.complete(told, repository / "workload")


def test_a_fleet_without_the_file_says_so(repository: Path) -> None:
    told = order(workload_files.contents(repository, WORKLOAD))
    (repository / "workload" / "bodies" / "chat.json").unlink()
    with pytest.raises(ReadinessError, match=r"chat\.json, which cannot be read: No such file"):
        workload_files.complete(told, repository / "workload")


def test_an_order_that_says_nothing_of_a_body_file_is_refused(repository: Path) -> None:
    with pytest.raises(ReadinessError, match=r"'chat'.*says nothing of its body file"):
        workload_files.complete(order({}), repository / "workload")


def test_a_file_that_is_missing_is_named_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(ReadinessError, match=r"needs .*workload/bodies/chat\.json.*cannot be read"):
        workload_files.contents(tmp_path, WORKLOAD)


def test_a_locustfile_comes_with_every_module_that_it_may_import(repository: Path) -> None:
    arrivals = LocustfileArrivals(kind="locustfile", file="locustfile.py", users=1)
    assert list(workload_files.contents(repository, replace(WORKLOAD, arrivals=arrivals))) == [
        "bodies/chat.json",
        "locustfile.py",
        "shop.py",
    ]


def test_placeholders_of_a_body_file_are_checked_like_others(repository: Path) -> None:
    (repository / "workload" / "bodies" / "chat.json").write_text('{"q": "{{nothing}}"}')
    files = workload_files.contents(repository, WORKLOAD)
    with pytest.raises(ReadinessError, match=r"'chat' asks for \{\{nothing\}\}"):
        template.check(workload_files.inlined(WORKLOAD, files), [])


def test_a_body_that_is_no_text_is_refused(repository: Path) -> None:
    with pytest.raises(ReadinessError, match="is no UTF-8 text"):
        workload_files.inlined(WORKLOAD, {"bodies/chat.json": b"\xff\xfe"})
