"""Users of a locustfile: who runs where and when, and what becomes of what their requests report."""

from __future__ import annotations

import io
import socket
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gevent
import gevent.monkey
import locust
import pytest
import requests
import urllib3
from geventhttpclient.useragent import RetriesExceeded
from hypothesis import given
from hypothesis import strategies as st
from locust.clients import HttpSession
from locust.contrib.fasthttp import FastHttpSession, LocustBadStatusCode
from locust.event import Events
from locust.exception import CatchResponseError, ResponseError

from readiness.errors import ReadinessError
from readiness.loadgen import locust_users, rows, workload_files
from readiness.loadgen.locust_requests import LocustRequests, outcome_of
from readiness.loadgen.locust_users import LocustDriver, share_of, spawn_order
from readiness.loadgen.order import Order
from readiness.loadgen.recorder import Recorder
from readiness.loadgen.redacted_output import RedactedStream
from readiness.model import LocustfileArrivals, Scenario, Workload

TARGET = "http://10.0.0.1:8080"
ARRIVALS = LocustfileArrivals(kind="locustfile", file="users.py", users=4)
WORKLOAD = Workload(
    arrivals=ARRIVALS,
    ramp=timedelta(0),
    hold=timedelta(seconds=1),
    scenarios=(Scenario(name="drill", path="/"),),
)
USERS = "from locust import HttpUser\nclass A(HttpUser):\n    tasks = [print]\n"


def user(name: str, **settings: Any) -> type[locust.User]:
    return type(name, (locust.User,), {"abstract": False, **settings})


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Return a folder for locustfiles; what importing them changes is taken back."""
    path, modules = list(sys.path), set(sys.modules)
    (tmp_path / workload_files.FOLDER).mkdir()
    yield tmp_path / workload_files.FOLDER
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def an_order(folder: Path, text: str, **changes: Any) -> Order:
    (folder / "users.py").write_text(text)
    order = Order(
        role="worker",
        run_id="r1",
        master_port=5557,
        workers=2,
        target=TARGET,
        workload=WORKLOAD,
        files=workload_files.digests(workload_files.contents(folder.parent, WORKLOAD)),
    )
    return replace(order, **changes)


def test_the_tests_themselves_run_on_an_unpatched_standard_library() -> None:
    assert not gevent.monkey.is_module_patched("socket")


# --- who runs where ---------------------------------------------------------------------------------------------------


def test_classes_are_mixed_by_weight_from_the_first_user_on() -> None:
    heavy, light = user("Heavy", weight=3), user("Light", weight=1)
    order = spawn_order([light, heavy], 8)
    assert Counter(order) == {heavy: 6, light: 2}
    assert Counter(order[:4]) == {heavy: 3, light: 1}


def test_fixed_numbers_come_first_and_are_not_weighed() -> None:
    one, rest = user("One", fixed_count=1, weight=100), user("Rest")
    assert spawn_order([rest, one], 4) == [one, rest, rest, rest]
    assert spawn_order([user("Many", fixed_count=9)], 2) != []


@pytest.mark.parametrize("settings", [{"weight": 0}, {"fixed_count": 3}])
def test_classes_that_cannot_make_up_the_users_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ReadinessError, match="the plan asks for 4"):
        spawn_order([user("Few", **settings)], 4)


@given(
    weights=st.lists(st.floats(0.1, 50), min_size=1, max_size=5),
    users=st.integers(1, 60),
    workers=st.integers(1, 7),
)
def test_the_workers_run_every_user_once_and_an_even_share_of_each_class(
    weights: list[float], users: int, workers: int
) -> None:
    order = spawn_order([user(f"U{number}", weight=weight) for number, weight in enumerate(weights)], users)
    shares = [share_of(order, worker, workers) for worker in range(workers)]
    assert sorted(number for share in shares for number in share) == list(range(users))
    for cls in set(order):
        numbers = [sum(order[each] is cls for each in share) for share in shares]
        assert max(numbers) - min(numbers) <= 1
    sizes = [len(share) for share in shares]
    assert max(sizes) - min(sizes) <= 1
    for number, cls in enumerate(order):
        wanted = weights[int(cls.__name__[1:])] / sum(weights)
        assert abs(order[: number + 1].count(cls) - wanted * (number + 1)) < len(weights)


# --- loading ----------------------------------------------------------------------------------------------------------


def test_a_file_that_the_order_does_not_name_or_that_has_changed_is_not_run(folder: Path) -> None:
    order = an_order(folder, USERS)
    with pytest.raises(ReadinessError, match="is not the file that the harness has"):
        locust_users.load(ARRIVALS, {}, folder)
    (folder / "users.py").write_text(USERS + "# changed\n")
    with pytest.raises(ReadinessError, match="is not the file that the harness has"):
        locust_users.load(ARRIVALS, order.files, folder)


def test_classes_are_those_that_are_named_each_once(folder: Path) -> None:
    order = an_order(folder, USERS + "class B(A): ...\nC = A\n")
    found = locust_users.load(ARRIVALS, order.files, folder)
    assert sorted(each.__name__ for each in found) == ["A", "B"]
    named = replace(ARRIVALS, user_classes=("B", "B"))
    assert [each.__name__ for each in locust_users.load(named, order.files, folder)] == ["B"]


@pytest.mark.parametrize("name", ["Base", "print_it", "Nobody"])
def test_a_name_that_is_no_runnable_user_is_an_error_that_lists_what_there_is(folder: Path, name: str) -> None:
    order = an_order(folder, USERS + "class Base(HttpUser):\n    abstract = True\ndef print_it(): ...\n")
    with pytest.raises(ReadinessError, match=f"no user class {name}.*; there is A") as raised:
        locust_users.load(replace(ARRIVALS, user_classes=("A", name)), order.files, folder)
    assert ("no User, or an abstract one" in raised.value.message) == (name != "Nobody")


def test_a_fault_of_an_imported_module_is_told_with_its_own_line(folder: Path) -> None:
    (folder / "helper.py").write_text("x = 1\ny = {}['z']\n")
    order = an_order(folder, "import helper\n")
    with pytest.raises(ReadinessError, match=r"users\.py cannot be loaded: KeyError: 'z' \(helper\.py line 2\)"):
        locust_users.load(ARRIVALS, order.files, folder)


def test_headers_of_the_order_are_refused_for_a_locustfile_cannot_be_given_any(folder: Path) -> None:
    order = an_order(folder, USERS, headers={"X-Drill": "fault"})
    with pytest.raises(ReadinessError, match=r"No headers can be given to the requests of users\.py"):
        LocustDriver(order, Recorder(WORKLOAD, ()), (), folder)


# --- outcomes ---------------------------------------------------------------------------------------------------------


def answer(status: int = 200, **attributes: Any) -> Any:
    return SimpleNamespace(status_code=status, **attributes)


def caused(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


REFUSED = ConnectionRefusedError(111, "refused")


@pytest.mark.parametrize(
    ("error", "response", "outcome"),
    [
        (None, answer(), rows.OK),
        (None, answer(500), rows.OK),  # the file called it a success
        (requests.HTTPError("500 Server Error"), answer(500), rows.STATUS),
        (LocustBadStatusCode("http://h/", code=404), answer(404), rows.STATUS),
        (requests.TooManyRedirects(), answer(0), rows.STATUS),
        (
            RetriesExceeded("http://h/", 0, original=RetriesExceeded("u", "Redirection limit reached (30)")),
            None,
            "status",
        ),
        (CatchResponseError("not what I want"), answer(200), rows.ASSERTION),
        (CatchResponseError("got a 500"), answer(500), rows.ASSERTION),
        (ResponseError("odd"), answer(200), rows.ASSERTION),
        (AssertionError(), answer(200), rows.ASSERTION),
        (ValueError("no JSON"), answer(200), rows.ASSERTION),
        ("a text", None, rows.ASSERTION),
        (CatchResponseError("refused"), answer(0, error=REFUSED), rows.CONNECT),
        (requests.ReadTimeout(), answer(0), rows.TIMEOUT),
        (requests.ConnectTimeout(), answer(0), rows.TIMEOUT),
        (urllib3.exceptions.ConnectTimeoutError(), None, rows.TIMEOUT),
        (TimeoutError("timed out"), answer(0), rows.TIMEOUT),
        (RetriesExceeded("http://h/", 0, original=gevent.Timeout(1)), answer(0), rows.TIMEOUT),
        (REFUSED, answer(0), rows.CONNECT),
        (caused(requests.ConnectionError(), REFUSED), answer(0), rows.CONNECT),
        (requests.ConnectionError(SimpleNamespace(reason=REFUSED)), answer(0), rows.RESET),
        (socket.gaierror(-2, "unknown"), answer(0), rows.CONNECT),
        (OSError(113, "no route"), answer(0), rows.CONNECT),
        (ConnectionResetError(104, "reset"), answer(0), rows.RESET),
        (caused(requests.ConnectionError(), urllib3.exceptions.ProtocolError("gone")), answer(0), rows.RESET),
        (ConnectionResetError(104, "in the middle of the body"), answer(200), rows.RESET),
        (RuntimeError("of a client of the file's own"), None, rows.RESET),
        (RuntimeError("with an answer"), answer(503), rows.STATUS),
    ],
)
def test_what_locust_says_is_put_into_the_class_of_failure_it_is(error: Any, response: Any, outcome: str) -> None:
    assert outcome_of(error, response) == outcome


# --- requests ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def recorder() -> Recorder:
    recorder = Recorder(WORKLOAD, ("s3cret",))
    recorder.start_at(0.0)
    return recorder


def names_of(recorder: Recorder) -> Counter[str]:
    found: Counter[str] = Counter()
    for (_, scenario), tally in recorder.take()[0].items():
        found[scenario] += tally.requests
    return found


def fire(events: Any, name: Any, **more: Any) -> None:
    events.request.fire(**{"request_type": "GET", "name": name, "response_time": 1.0, "response_length": 0, **more})


def test_names_are_bounded_in_length_and_number_and_hold_no_secret(recorder: Recorder) -> None:
    events: Any = Events()
    with LocustRequests(recorder, TARGET, 10, ("s3cret",)).recorded(events):
        fire(events, "x" * 500)
        fire(events, "/?t=s3cret")
        fire(events, b"/b\x1fytes\n")
        fire(events, "")
        for number in range(500):
            fire(events, f"/{number}")
            fire(events, f"/{number}")
    found = names_of(recorder)
    assert found["x" * 80] == found["/?t=***"] == found["/b?ytes?"] == 1
    assert len(found) <= 201
    assert found["(other)"] == 1 + 1000 - 2 * sum(name[1:].isdigit() for name in found)
    assert sum(found.values()) == recorder.sent == recorder.recorded == 1004
    assert recorder.in_flight == 0


@pytest.mark.parametrize("time_ms", [None, -1, float("nan"), float("inf"), "12"])
def test_a_response_time_that_is_none_is_an_error_not_a_quick_answer(recorder: Recorder, time_ms: Any) -> None:
    events: Any = Events()
    with LocustRequests(recorder, TARGET, 10, ()).recorded(events):
        fire(events, "odd", response_time=time_ms)
    (((_, scenario), tally),) = recorder.take()[0].items()
    assert (scenario, tally.counts, tally.requests) == (rows.EVERY, {rows.USER_ERRORS: 1}, 0)


@pytest.mark.parametrize(
    ("url", "elsewhere"),
    [
        (f"{TARGET}/a", 0),
        (TARGET, 0),
        (f"{TARGET}?q=1", 0),
        ("/relative", 0),
        (None, 0),
        ("HTTP://10.0.0.1:8080/a", 0),
        ("http://10.0.0.1/a", 1),
        ("https://10.0.0.1:8080/a", 1),
        ("http://10.0.0.1:80801/a", 1),
        (f"{TARGET}@evil.example/a", 1),
        ("http://evil.example/?http://10.0.0.1:8080/", 1),
    ],
)
def test_what_goes_to_another_origin_is_counted_and_still_recorded(
    recorder: Recorder, url: str | None, elsewhere: int
) -> None:
    events: Any = Events()
    with LocustRequests(recorder, TARGET + "/", 10, ()).recorded(events):
        fire(events, "a", url=url)
    ((_, tally),) = recorder.take()[0].items()
    assert tally.requests == 1
    assert tally.counts.get(rows.ELSEWHERE, 0) == elsewhere


@pytest.mark.parametrize(("patience_s", "outcome"), [(0.001, rows.TIMEOUT), (60, rows.RESET)])
def test_a_request_that_is_cut_off_has_timed_out_if_it_waited_long_enough(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, patience_s: float, outcome: str
) -> None:
    session = SimpleNamespace(request_name=None)

    def hang(*_: Any, **__: Any) -> None:
        gevent.sleep(0.01)
        raise gevent.GreenletExit

    monkeypatch.setattr(HttpSession, "request", hang)
    events: Any = Events()
    with LocustRequests(recorder, TARGET, patience_s, ()).recorded(events), pytest.raises(gevent.GreenletExit):
        HttpSession.request(session, "GET", "/hung")
    ((_, tally),) = recorder.take()[0].items()
    assert tally.outcomes() == {outcome: 1}


@pytest.mark.parametrize("ending", [False, True])
def test_a_user_whose_kill_is_on_its_way_begins_no_request_once_the_drive_ends(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, ending: bool
) -> None:
    begun = []

    def original(*_: Any, **__: Any) -> None:
        begun.append(1)
        gevent.sleep(0.01)

    def go_on() -> None:
        gevent.get_hub().loop.run_callback(user.throw, gevent.GreenletExit)
        HttpSession.request(SimpleNamespace(request_name=None), "GET", "/")

    monkeypatch.setattr(HttpSession, "request", original)
    events: Any = Events()
    watched = LocustRequests(recorder, TARGET, 60, ())
    with watched.recorded(events):
        if ending:
            watched.end()
        user = gevent.spawn(go_on)
        user.join()
    assert isinstance(user.value, gevent.GreenletExit)
    assert len(begun) == recorder.recorded == (not ending)


def test_the_sessions_are_as_they_were_afterwards(recorder: Recorder) -> None:
    before = HttpSession.request, FastHttpSession.request
    events: Any = Events()
    with LocustRequests(recorder, TARGET, 10, ()).recorded(events):
        assert HttpSession.request is not before[0]
    assert (HttpSession.request, FastHttpSession.request) == before
    assert events.request._handlers == []


# --- output -----------------------------------------------------------------------------------------------------------


def test_no_secret_slips_through_in_pieces_and_nothing_else_is_lost() -> None:
    below = io.StringIO()
    stream = RedactedStream(below, ("s3cret",))
    for piece in ("a s3", "cret b\nAuthorization: Bearer abc.def-123", "4\n", "no newline: s3cr", "et"):
        stream.write(piece)
    stream.flush()
    assert below.getvalue() == "a *** b\nAuthorization: Bearer ***\nno newline: ***"
