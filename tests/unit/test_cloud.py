"""The way into an account, as far as it can be known without one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import boto3
import psutil
import pytest
from botocore.exceptions import EndpointConnectionError, NoCredentialsError

from readiness import cloud
from readiness.cloud import Connection, connect, connect_aws, embedded_settings, embedded_variables, is_gone, translated
from readiness.errors import CloudError, PlanError, TeardownError
from readiness.interruption import Interrupted
from readiness.ledger import Ledger
from readiness.model import EmbeddedAws, Environment
from tests.unit.samples import FakeClient, FakeClock, a_plan, client_error

ACCOUNT = "123456789012"


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "ledger.jsonl")


# --- AWS -------------------------------------------------------------------------------------------------------------


class Session:
    """A boto3 session: STS answers as a test says, and each service has an address."""

    def __init__(self) -> None:
        self.answers = FakeClient(get_caller_identity={"Account": ACCOUNT})
        self.endpoints = {}

    def client(self, service, config):
        own = f"https://{service}.eu-west-1.amazonaws.com"
        url = own if config.ignore_configured_endpoint_urls else self.endpoints.get(service, own)
        return SimpleNamespace(
            name=service,
            meta=SimpleNamespace(endpoint_url=url),
            get_caller_identity=lambda: self.answers.get_caller_identity(),
        )


@pytest.fixture
def session(monkeypatch):
    session = Session()
    monkeypatch.setattr(boto3, "Session", lambda **how: session)
    return session


@pytest.fixture
def identity(session):
    """Let STS answer with what a test wants; by default with an account."""
    return session.answers


def test_the_account_of_the_credentials_is_the_one_that_is_used(identity):
    connection = connect_aws("eu-west-1", ())

    assert (connection.account, connection.region) == (ACCOUNT, "eu-west-1")
    assert connection.environment is Environment.AWS
    assert connection.time_scale == 1
    assert not connection.bootstraps_itself
    assert connection.variables == {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1"}


def test_a_production_account_is_refused(identity):
    with pytest.raises(PlanError, match=f"lists {ACCOUNT}.* never deploys or drills in production") as caught:
        connect_aws("eu-west-1", ("999999999999", ACCOUNT))
    assert caught.value.key == "aws.production_accounts"
    assert "staging account" in caught.value.hint


def test_a_run_on_aws_refuses_the_production_accounts_of_its_plan(identity, tmp_path, ledger):
    plan = a_plan()
    plan = replace(plan, aws=replace(plan.aws, production_accounts=(ACCOUNT,)))

    with (
        pytest.raises(PlanError, match="production"),
        connect("aws", plan, repository=tmp_path, folder=tmp_path, ledger=ledger),
    ):
        pytest.fail("it was let in")


def test_another_account_is_let_in(identity, tmp_path, ledger):
    with connect("aws", a_plan(), repository=tmp_path, folder=tmp_path, ledger=ledger) as connection:
        assert connection.account == ACCOUNT
        assert connection.client("ecs").name == "ecs"
    (connected,) = ledger.entries()
    assert (connected.event, connected.name) == ("connected", ACCOUNT)
    assert connected.details == {"region": "eu-west-1", "endpoint": ""}


AN_API_OF_SOMEBODYS = "https://one.execute-api.eu-west-1.amazonaws.com"


@pytest.mark.parametrize(
    ("region", "variables", "endpoint"),
    [
        ("eu-west-1", {}, ""),
        ("cn-north-1", {}, ""),
        ("us-east-1", {"AWS_USE_FIPS_ENDPOINT": "true"}, ""),
        ("eu-west-1", {"AWS_USE_DUALSTACK_ENDPOINT": "true"}, ""),
        ("us-east-1", {"AWS_STS_REGIONAL_ENDPOINTS": "legacy"}, ""),
        ("eu-west-1", {"AWS_ENDPOINT_URL": "https://sts.eu-west-1.amazonaws.com"}, ""),
        ("eu-west-1", {"AWS_ENDPOINT_URL": AN_API_OF_SOMEBODYS}, AN_API_OF_SOMEBODYS),
        (
            "eu-west-1",
            {"AWS_ENDPOINT_URL_STS": "https://ec2-1.compute.amazonaws.com"},
            "https://ec2-1.compute.amazonaws.com",
        ),
        ("eu-west-1", {"AWS_ENDPOINT_URL": "http://sts.eu-west-1.amazonaws.com"}, "http://sts.eu-west-1.amazonaws.com"),
    ],
)
def test_aws_is_where_botocore_itself_would_ask_and_no_other_host_of_its_domains(
    monkeypatch, region, variables, endpoint
):
    monkeypatch.setattr(cloud, "_account", lambda sts: ACCOUNT)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    connection = connect_aws(region, ())

    assert connection.endpoint == endpoint
    assert connection.environment is (Environment.EMULATED if endpoint else Environment.AWS)


def emulate(session, *services):
    session.endpoints.update(dict.fromkeys(services, "http://localhost:4566"))


def test_an_endpoint_that_is_not_awss_is_recorded_as_emulated(session, monkeypatch):
    monkeypatch.delenv("READINESS_TIME_SCALE", raising=False)
    emulate(session, "sts", "ecs")

    connection = connect_aws("eu-west-1", ())

    assert connection.environment is Environment.EMULATED
    assert connection.endpoint == "http://localhost:4566"
    assert connection.time_scale == 1
    assert connection.client("ecs").name == "ecs"


@pytest.mark.parametrize("emulated", [["sts"], ["ecs"]])
def test_no_run_is_half_on_aws(session, emulated):
    emulate(session, *emulated)

    with pytest.raises(CloudError, match=r"ecs would be asked at (http|AWS)") as caught:
        connect_aws("eu-west-1", ()).client("ecs")
    assert "for all services or for none" in caught.value.hint


def test_an_emulated_aws_may_say_by_how_much_it_shortens_waiting_times(session, monkeypatch):
    emulate(session, "sts")
    monkeypatch.setenv("READINESS_TIME_SCALE", "20")

    assert connect_aws("eu-west-1", ()).time_scale == 20

    monkeypatch.setenv("READINESS_TIME_SCALE", "fast")
    with pytest.raises(CloudError, match="'fast', which is no number"):
        connect_aws("eu-west-1", ())


def test_aws_is_never_said_to_shorten_waiting_times(session, monkeypatch):
    monkeypatch.setenv("READINESS_TIME_SCALE", "20")

    assert connect_aws("eu-west-1", ()).time_scale == 1


def connected(ledger, account=ACCOUNT, endpoint=""):
    ledger.note("connected", name=account, region="eu-west-1", endpoint=endpoint)
    return ledger.entries()


def test_a_teardown_reaches_where_the_run_worked(session, ledger):
    assert cloud.reach_again("eu-west-1", connected(ledger)).account == ACCOUNT


def test_a_teardown_is_never_asked_of_another_account(session, ledger):
    with pytest.raises(CloudError, match=f"is in account 999999999999, but your credentials are for {ACCOUNT}"):
        cloud.reach_again("eu-west-1", connected(ledger, account="999999999999"))


def test_a_teardown_is_never_asked_of_another_endpoint(session, ledger):
    """A run on an emulated AWS must not be torn down in the real account that has the same stack name."""
    with pytest.raises(CloudError, match=r"worked at http://localhost:4566, but AWS calls go to AWS") as caught:
        cloud.reach_again("eu-west-1", connected(ledger, endpoint="http://localhost:4566"))
    assert "export AWS_ENDPOINT_URL=http://localhost:4566" in caught.value.hint


def test_a_teardown_of_a_run_on_aws_is_never_asked_of_an_emulated_one(session, ledger):
    emulate(session, "sts")

    with pytest.raises(CloudError, match="worked at AWS") as caught:
        cloud.reach_again("eu-west-1", connected(ledger))
    assert "unset AWS_ENDPOINT_URL" in caught.value.hint


@pytest.mark.parametrize(
    "error",
    [
        NoCredentialsError(),
        client_error("ExpiredToken"),
        EndpointConnectionError(endpoint_url="https://sts.eu-west-1.amazonaws.com"),
    ],
)
def test_who_has_no_identity_is_told_how_to_get_one(identity, error):
    identity.answers["get_caller_identity"] = error

    with pytest.raises(CloudError, match="AWS does not say who you are") as caught:
        connect_aws("eu-west-1", ())
    assert "--target embedded" in caught.value.hint


def test_a_profile_that_is_not_there_is_an_error_in_a_sentence(monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "nobody")

    with pytest.raises(CloudError, match=r"The config profile \(nobody\) could not be found"):
        connect_aws("eu-west-1", ())


def test_a_client_is_made_once():
    made = []
    connection = Connection(
        target="aws",
        environment=Environment.AWS,
        region="eu-west-1",
        account=ACCOUNT,
        time_scale=1,
        variables={},
        bootstraps_itself=False,
        make_client=lambda service: made.append(service) or object(),
    )

    assert connection.client("ecs") is connection.client("ecs")
    assert made == ["ecs"]


# --- what boto3 raises -----------------------------------------------------------------------------------------------


def test_an_error_of_a_service_says_which_operation_failed():
    with (
        pytest.raises(CloudError, match=r"Listing tasks failed: .*AccessDenied") as caught,
        translated("Listing tasks"),
    ):
        raise client_error("AccessDenied")
    assert caught.value.hint == ""


def test_credentials_that_ran_out_in_the_middle_say_how_to_go_on():
    with pytest.raises(CloudError) as caught, translated("Listing tasks"):
        raise client_error("ExpiredTokenException")
    assert "readiness teardown" in caught.value.hint


def test_an_endpoint_that_does_not_answer_is_asked_about():
    with pytest.raises(CloudError, match="Listing tasks failed") as caught, translated("Listing tasks"):
        raise EndpointConnectionError(endpoint_url="http://localhost:1")
    assert "reachable" in caught.value.hint


@pytest.fixture
def web_server(monkeypatch):
    """A web server that is no AWS, where every AWS call goes; returns a function that says what it answers."""
    said = {}

    class Page(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(said["body"])))
            self.end_headers()
            self.wfile.write(said["body"])

        def log_message(self, *_):
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    for name, value in embedded_variables(f"http://127.0.0.1:{server.server_port}", "eu-west-1").items():
        monkeypatch.setenv(name, value)
    yield lambda body: said.update(body=body)
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("page", [b"<html><body>Hello</body></html>", b"<html><p>Hello</html>", b"Hello", b""])
def test_a_web_server_that_is_no_aws_is_told_in_a_sentence(web_server, page):
    web_server(page)

    with pytest.raises(CloudError, match=r"What answers at http://127\.0\.0\.1:\d+ is not AWS") as caught:
        connect_aws("eu-west-1", ())
    assert "AWS_ENDPOINT_URL" in caught.value.hint
    with (
        pytest.raises(CloudError, match=r"Listing stacks failed: the answer cannot be read"),
        translated("Listing stacks"),
    ):
        boto3.client("cloudformation").describe_stacks()


def test_our_own_mistakes_are_not_translated():
    with pytest.raises(KeyError), translated("Listing tasks"):
        raise KeyError("taskArns")


@pytest.mark.parametrize(
    ("code", "gone"),
    [
        ("ResourceNotFoundException", True),
        ("NoSuchEntity", True),
        ("AWS.SimpleQueueService.NonExistentQueue", True),
        ("QueueDoesNotExist", True),
        ("AccessDenied", False),
        ("ThrottlingException", False),
        ("", False),
    ],
)
def test_only_a_word_for_gone_means_gone(code, gone):
    assert is_gone(client_error(code)) is gone


# --- the embedded AWS ------------------------------------------------------------------------------------------------


def test_the_command_line_tools_reach_the_embedded_aws_and_nothing_else():
    variables = embedded_variables("http://localhost:4000", "eu-west-1")

    assert variables["AWS_ENDPOINT_URL"] == "http://localhost:4000"
    assert variables["AWS_EC2_METADATA_DISABLED"] == "true"
    assert variables["READINESS_FLEET_IMAGE"] == cloud.EMBEDDED_FLEET_IMAGE


def test_nobodys_own_credentials_are_sent_to_the_embedded_aws(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAREAL")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "real")

    variables = embedded_variables("http://localhost:4000", "eu-west-1")

    assert variables["AWS_ACCESS_KEY_ID"] == variables["AWS_SECRET_ACCESS_KEY"] == "embedded"


def test_images_stand_for_commands_of_this_python(tmp_path):
    plan = replace(
        a_plan(),
        embedded=EmbeddedAws(
            time_scale=5, images={"shop:1": ("{python}", "-m", "shop", "{port}")}, confirms=("ada@example.com",)
        ),
    )

    settings = embedded_settings(plan, tmp_path)

    assert settings.images["shop:1"] == (sys.executable, "-m", "shop", "{port}")
    assert settings.images[cloud.EMBEDDED_FLEET_IMAGE][:3] == (sys.executable, "-m", "readiness.loadgen")
    assert (settings.time_scale, settings.region, settings.state_dir) == (5, "eu-west-1", tmp_path)
    assert settings.confirms == ("ada@example.com",)
    assert settings.from_json(settings.to_json()) == settings


def test_the_plan_may_name_another_fleet(tmp_path):
    images = {cloud.EMBEDDED_FLEET_IMAGE: ("{python}", "fleet.py")}
    plan = replace(a_plan(), embedded=EmbeddedAws(images=images))

    assert embedded_settings(plan, tmp_path).images[cloud.EMBEDDED_FLEET_IMAGE] == (sys.executable, "fleet.py")


class FakeProcess:
    """An embedded AWS that says one line when it is started.

    Attributes:
        events: What was done to it.
    """

    def __init__(self, line):
        self.events = []
        self.stdin = SimpleNamespace(close=lambda: self.events.append("stdin closed"))
        self.stdout, mouth = map(os.fdopen, os.pipe(), ("rb", "wb"))
        if callable(line):
            self.stdout = SimpleNamespace(fileno=line)
        elif line is not None:
            mouth.write(line)
            mouth.close()
        self.mouth = mouth
        self.hangs = False
        self.interrupted = False

    def wait(self, timeout=None):
        self.events.append("waited for")
        if self.interrupted and timeout is not None:
            raise Interrupted
        if self.hangs and timeout is not None:
            raise subprocess.TimeoutExpired("embedded", timeout)

    def kill(self):
        self.events.append("killed")


READY = json.dumps({"endpoint": "http://localhost:4000", "pid": 7, "id": "one"}).encode()


def start(monkeypatch, tmp_path, ledger, line, stderr=b""):
    process = FakeProcess(line)

    def popen(argv, **how):
        how["stderr"].write(stderr)
        process.argv, process.how = argv, how
        process.announced = [(entry.kind, entry.name) for entry in ledger.created()]
        return process

    monkeypatch.setattr(cloud.subprocess, "Popen", popen)
    settings = embedded_settings(a_plan(), tmp_path / "embedded")
    return process, lambda: cloud.start_embedded(settings, repository=tmp_path, ledger=ledger)


def test_an_embedded_aws_is_announced_before_it_starts_and_noted_when_it_is_ready(monkeypatch, tmp_path, ledger):
    process, begin = start(monkeypatch, tmp_path, ledger, READY)

    _, ready = begin()

    assert ready["endpoint"] == "http://localhost:4000"
    assert process.announced == [("embedded-aws", str(tmp_path / "embedded"))]
    assert (ledger.entries()[-1].event, ledger.entries()[-1].name) == ("embedded-aws-ready", "one")


def test_an_embedded_aws_outlives_ctrl_c_for_the_teardown_and_stops_with_our_end_of_its_stdin(
    monkeypatch, tmp_path, ledger
):
    process, begin = start(monkeypatch, tmp_path, ledger, READY)

    begin()

    assert process.how["start_new_session"]
    assert process.how["stdin"] == subprocess.PIPE
    assert "--stop-with-stdin" in process.argv


@pytest.mark.parametrize("line", [b"", b"Traceback"])
def test_an_embedded_aws_that_does_not_start_says_why(monkeypatch, tmp_path, ledger, line):
    process, begin = start(monkeypatch, tmp_path, ledger, line, b"first\nModuleNotFoundError: moto\n")

    with pytest.raises(CloudError, match=r"did not start:\n(.*\n)*ModuleNotFoundError: moto") as caught:
        begin()
    assert "embedded.log" in caught.value.hint
    assert process.events == ["killed", "waited for"]


def test_an_interruption_while_it_starts_leaves_no_process(monkeypatch, tmp_path, ledger):
    def interrupted():
        raise Interrupted

    process, begin = start(monkeypatch, tmp_path, ledger, interrupted)

    with pytest.raises(Interrupted):
        begin()
    assert process.events == ["killed", "waited for"]


def test_an_embedded_aws_that_never_gets_ready_is_given_up(monkeypatch, tmp_path, ledger):
    monkeypatch.setattr(cloud, "_START_DEADLINE_S", 0.01)
    process, begin = start(monkeypatch, tmp_path, ledger, None, b"still importing\n")

    with pytest.raises(CloudError, match="did not start:\nstill importing"):
        begin()
    assert process.events == ["killed", "waited for"]


def test_an_interruption_while_it_stops_leaves_no_process(monkeypatch):
    looked = []
    monkeypatch.setattr(cloud, "strays", lambda embedded_id: looked.append(embedded_id) or [])
    process = FakeProcess(READY)
    process.interrupted = True

    with pytest.raises(Interrupted):
        cloud.stop_embedded(process, "one")
    assert process.events == ["stdin closed", "waited for", "killed", "waited for"]
    assert looked


@pytest.fixture
def no_strays(monkeypatch):
    monkeypatch.setattr(cloud, "strays", lambda embedded_id: [])


def test_an_embedded_aws_is_stopped_by_the_end_of_its_stdin(no_strays):
    process = FakeProcess(READY)

    cloud.stop_embedded(process, "one")

    assert process.events == ["stdin closed", "waited for"]


def test_an_embedded_aws_that_hangs_is_killed(no_strays):
    process = FakeProcess(READY)
    process.hangs = True

    cloud.stop_embedded(process, "one")

    assert process.events == ["stdin closed", "waited for", "killed", "waited for"]


def test_the_embedded_aws_stops_whatever_happens_in_the_block(monkeypatch, no_strays, tmp_path, ledger):
    process, _ = start(monkeypatch, tmp_path, ledger, READY)
    monkeypatch.setattr(cloud, "connect_embedded", lambda *where: SimpleNamespace(account=ACCOUNT))

    with (
        pytest.raises(RuntimeError),
        connect("embedded", a_plan(), repository=tmp_path, folder=tmp_path / "embedded", ledger=ledger),
    ):
        raise RuntimeError

    assert process.events == ["stdin closed", "waited for"]


# --- processes that are left -----------------------------------------------------------------------------------------


class Stray:
    def __init__(self, pid, mortal=True):
        self.pid, self.mortal, self.alive = pid, mortal, True

    def kill(self):
        if not self.mortal:
            raise psutil.AccessDenied(self.pid)
        self.alive = False


@pytest.fixture
def waited(monkeypatch):
    clock = FakeClock()
    monkeypatch.setattr(cloud, "time", clock)
    monkeypatch.setattr(cloud.psutil, "wait_procs", lambda found, timeout: ([], list(found)))
    return clock


def test_processes_are_given_time_to_end(waited):
    stray = Stray(7)

    cloud.await_end(lambda: [stray] if waited.now < 3 else [], deadline_s=10)

    assert stray.alive
    assert 3 <= waited.now < 4


def test_processes_that_do_not_end_are_ended(waited):
    stray = Stray(7)

    cloud.await_end(lambda: [stray] if stray.alive else [], deadline_s=10)

    assert not stray.alive


def test_a_process_that_cannot_be_ended_is_a_leftover(waited):
    with pytest.raises(TeardownError, match="process 7") as caught:
        cloud.await_end(lambda: [Stray(7, mortal=False)], deadline_s=10)
    assert caught.value.hint == "End them: kill -9 7"


@pytest.fixture
def sleeper(tmp_path):
    """Return a function that starts a process, which is gone after the test."""
    begun = []

    def begin(*arguments, **variables):
        argv = [sys.executable, "-S", "-c", "import sys; print(flush=True); sys.stdin.read()", *arguments]
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **variables})
        begun.append(process)
        process.stdout.readline()
        return process

    yield begin
    for process in begun:
        process.kill()
        process.communicate()


def test_a_stray_is_known_by_the_id_in_its_environment(sleeper):
    process = sleeper(READINESS_EMBEDDED_ID="one-of-this-test")
    sleeper(READINESS_EMBEDDED_ID="another")

    assert [each.pid for each in cloud.strays("one-of-this-test")] == [process.pid]


def test_a_server_is_known_by_the_settings_on_its_command_line(sleeper, tmp_path):
    process = sleeper("--settings", str(tmp_path / "settings.json"))
    sleeper("--settings", str(tmp_path / "other" / "settings.json"))

    assert [each.pid for each in cloud.servers(str(tmp_path))] == [process.pid]
