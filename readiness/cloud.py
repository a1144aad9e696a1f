"""Connect to the account that a run targets: AWS itself, or an embedded AWS that is started on loopback.

This is the only module that knows the difference. What it hands out is the same for both: boto3 clients, and the
environment with which the CDK CLI reaches the same endpoint.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import psutil
from botocore.exceptions import BotoCoreError, ClientError

from readiness import contract
from readiness.embedded.settings import EmbeddedSettings
from readiness.errors import CloudError, PlanError, TeardownError
from readiness.ledger import Entry, Ledger
from readiness.model import Environment, Plan

Target = Literal["aws", "embedded"]

EMBEDDED_ID_VARIABLE = "READINESS_EMBEDDED_ID"
"""Every process of an embedded AWS carries it, so that strays can be found."""

RECORD_CALLS_VARIABLE = "READINESS_RECORD_CALLS"
"""File that every AWS operation of the harness is appended to: what its IAM policy is checked against."""

EMBEDDED_FLEET_IMAGE = "readiness-fleet:local"
_SETTINGS = "settings.json"
_START_DEADLINE_S = 60.0
_STOP_DEADLINE_S = 30.0


@dataclass(kw_only=True)
class Connection:
    """A way into one account and region.

    Attributes:
        environment: Whether what is seen there is real or emulated.
        account: The account's id.
        time_scale: By how much waiting times are shortened there; 1 on AWS.
        variables: What the CDK CLI and its app must have in their environment to reach the same place.
        costs: Whether what is made there costs money, so that somebody must agree first.
        bootstraps_itself: Whether the harness may bootstrap the account for the CDK: nobody's account but its own.
        endpoint: Where its API answers when that is not AWS; empty on AWS.
    """

    target: Target
    environment: Environment
    region: str
    account: str
    time_scale: float
    variables: Mapping[str, str]
    bootstraps_itself: bool
    make_client: Callable[[str], Any]
    costs: bool = True
    endpoint: str = ""
    _clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        """Return the boto3 client of a service, made once."""
        if service not in self._clients:
            self._clients[service] = _recorded(self.make_client(service), service)
        return self._clients[service]


def _recorded(client: Any, service: str) -> Any:
    """Let a client append each operation it calls, a line of JSON, to the file that ``RECORD_CALLS_VARIABLE`` names."""
    file = os.environ.get(RECORD_CALLS_VARIABLE)
    if file:

        def write(model: Any, **_: Any) -> None:
            with Path(file).open("a", encoding="utf-8") as calls:
                calls.write(json.dumps({"service": service, "operation": model.name}) + "\n")

        client.meta.events.register("before-call", write)
    return client


@contextmanager
def connect(target: Target, plan: Plan, *, repository: Path, folder: Path, ledger: Ledger) -> Iterator[Connection]:
    """Open the way into the target account; an embedded AWS stops, with all it runs, when the block is left.

    Args:
        target: ``aws`` uses the default credential chain; ``embedded`` starts an AWS on loopback.
        plan: Region, production accounts, image commands, time scale.
        repository: Working folder of the local processes that stand in for containers.
        folder: Where the embedded AWS keeps its files.
        ledger: Where the embedded AWS is written down before it starts.

    Raises:
        PlanError: the account is one that the plan lists as production.
        CloudError: there are no credentials, or the embedded AWS did not start.
        TeardownError: processes of the embedded AWS outlived it.
    """
    if target == "aws":
        connection = connect_aws(plan.aws.region, plan.aws.production_accounts)
        note_connection(connection, ledger)
        yield connection
        return
    process, ready = start_embedded(embedded_settings(plan, folder), repository=repository, ledger=ledger)
    try:
        yield connect_embedded(ready["endpoint"], plan.aws.region, plan.embedded.time_scale)
    finally:
        stop_embedded(process, ready["id"])


def connect_aws(region: str, production_accounts: tuple[str, ...]) -> Connection:
    """Return the way into the account of the default credential chain, unless it is a production account.

    Whoever sets ``AWS_ENDPOINT_URL``, or ``endpoint_url`` in a profile, sends the same calls to something that is not
    AWS. It is told by the address that the client really has, and recorded as emulated: it is no evidence of AWS.
    """
    session_of, config = _boto3()
    try:
        session = session_of(region_name=region)
        sts, endpoint = _client(session, "sts", config)
        account = _account(sts)
    except (BotoCoreError, ClientError, ValueError) as error:
        raise CloudError(
            f"AWS does not say who you are: {error}.",
            hint="Log in (`aws sso login`, AWS_PROFILE) or rehearse without an account: --target embedded.",
        ) from error
    if account in production_accounts:
        raise PlanError(
            "readiness.toml",
            "aws.production_accounts",
            f"lists {account}, the account of your credentials: a run never deploys or drills in production",
            hint="Use the credentials of a staging account.",
        )

    def make_client(service: str) -> Any:
        client, elsewhere = _client(session, service, config)
        _refuse_other_world(service, elsewhere, endpoint)
        return client

    return Connection(
        target="aws",
        environment=Environment.EMULATED if endpoint else Environment.AWS,
        region=region,
        account=account,
        time_scale=_emulated_time_scale() if endpoint else 1.0,
        variables={"AWS_REGION": region, "AWS_DEFAULT_REGION": region},
        bootstraps_itself=False,
        make_client=make_client,
        endpoint=endpoint,
        costs=not endpoint,
    )


def _account(sts: Any) -> str:
    """Return the account that STS names.

    Raises:
        CloudError: what answers is not STS.
    """
    try:
        return str(sts.get_caller_identity()["Account"])
    except Exception as error:
        if not (isinstance(error, KeyError) or _is_unreadable(error)):
            raise
        raise CloudError(
            f"What answers at {sts.meta.endpoint_url} is not AWS: it does not say who you are.",
            hint="See AWS_ENDPOINT_URL, and endpoint_url of your profile.",
        ) from error


def _boto3() -> tuple[Callable[..., Any], Any]:
    """Return boto3's session and how its clients behave; a command that asks no AWS does without its import."""
    import boto3
    from botocore.config import Config

    # With eight retries a call fails for good in one of two million where one call in five is refused.
    return boto3.Session, Config(retries={"mode": "standard", "max_attempts": 8}, connect_timeout=10, read_timeout=60)


def _client(session: Any, service: str, config: Any) -> tuple[Any, str]:
    """Return the client of a service, and where it asks if somebody set that; empty = where AWS itself answers.

    An address of AWS's domains proves nothing: an API gateway or an instance of anybody's has one too.
    """
    from botocore.config import Config

    client = session.client(service, config=config)
    own = session.client(service, config=config.merge(Config(ignore_configured_endpoint_urls=True)))
    address = str(client.meta.endpoint_url)
    return client, "" if address == own.meta.endpoint_url else address


def _refuse_other_world(service: str, elsewhere: str, endpoint: str) -> None:
    """Refuse a service that answers elsewhere than the account was asked for: half of a run would be real.

    Raises:
        CloudError: one of the two is AWS, which is empty, and the other is not.
    """
    if bool(elsewhere) == bool(endpoint):
        return
    raise CloudError(
        f"{service} would be asked at {elsewhere or 'AWS'}, but the account is the one of {endpoint or 'AWS'}.",
        hint="Set AWS_ENDPOINT_URL for all services or for none; no run is half on AWS.",
    )


def _emulated_time_scale() -> float:
    """Return by how much an emulated AWS says that it shortens waiting times; 1 if it does not say so."""
    said = os.environ.get(contract.TIME_SCALE_VARIABLE, "1")
    try:
        return max(1.0, float(said))
    except ValueError:
        raise CloudError(
            f"{contract.TIME_SCALE_VARIABLE} is {said!r}, which is no number.", hint="`readiness aws` prints it."
        ) from None


def note_connection(connection: Connection, ledger: Ledger) -> None:
    """Write down where the run is about to work, so that its teardown is never asked of another place."""
    ledger.note("connected", name=connection.account, region=connection.region, endpoint=connection.endpoint)


def reach_again(region: str, entries: Sequence[Entry], production_accounts: tuple[str, ...] = ()) -> Connection:
    """Return the way to the account in which a run on AWS worked, unless it is one of *production_accounts*.

    Raises:
        CloudError: there are no credentials, or they are for another account, or the endpoint is another one.
    """
    connection = connect_aws(region, production_accounts)
    for entry in entries:
        if entry.event == "connected" and entry.details.get("endpoint", "") != connection.endpoint:
            there, here = entry.details.get("endpoint") or "AWS", connection.endpoint or "AWS"
            hint = f"export AWS_ENDPOINT_URL={there}" if entry.details.get("endpoint") else "unset AWS_ENDPOINT_URL"
            raise CloudError(f"The run worked at {there}, but AWS calls go to {here}.", hint=f"Then again: {hint}")
    accounts = {entry.name for entry in entries if entry.event == "connected"}
    accounts |= {entry.details["account"] for entry in entries if "account" in entry.details}
    if accounts - {connection.account}:
        raise CloudError(
            f"The run is in account {', '.join(sorted(accounts))}, but your credentials are for {connection.account}.",
            hint="Use the credentials of that account.",
        )
    return connection


def connect_embedded(endpoint: str, region: str, time_scale: float) -> Connection:
    """Return the way into an embedded AWS. Its credentials are made up, so that nobody's own are ever sent to it."""
    variables = embedded_variables(endpoint, region)
    session_of, config = _boto3()
    session = session_of(
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        region_name=region,
    )
    return Connection(
        target="embedded",
        environment=Environment.EMULATED,
        region=region,
        account=session.client("sts", endpoint_url=endpoint, config=config).get_caller_identity()["Account"],
        time_scale=time_scale,
        variables=variables,
        bootstraps_itself=True,
        make_client=lambda service: session.client(service, endpoint_url=endpoint, config=config),
        costs=False,
        endpoint=endpoint,
    )


def embedded_variables(endpoint: str, region: str) -> dict[str, str]:
    """Return the environment with which the CDK CLI, boto3 and the AWS CLI reach an embedded AWS."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "embedded",
        "AWS_SECRET_ACCESS_KEY": "embedded",
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_EC2_METADATA_DISABLED": "true",
        contract.FLEET_IMAGE_VARIABLE: EMBEDDED_FLEET_IMAGE,
    }


def embedded_settings(plan: Plan, folder: Path) -> EmbeddedSettings:
    """Return the settings of the plan's embedded AWS, with this Python for ``{python}`` and our own fleet image."""
    fleet = ("{python}", "-m", "readiness.loadgen", "--host", "{host}")
    images = {EMBEDDED_FLEET_IMAGE: fleet, **plan.embedded.images}
    return EmbeddedSettings(
        state_dir=folder,
        images={
            name: tuple(part.replace("{python}", sys.executable) for part in argv) for name, argv in images.items()
        },
        time_scale=plan.embedded.time_scale,
        region=plan.aws.region,
        confirms=plan.embedded.confirms,
        refused_ratio=plan.embedded.refused_ratio,
    )


def balancer_program() -> str:
    """Return the program that the embedded AWS balances load with.

    Raises:
        CloudError: there is none.
    """
    from readiness.embedded.haproxy import HaproxyError, haproxy_binary

    try:
        return haproxy_binary()
    except HaproxyError as error:
        raise CloudError(f"{error}.", hint="See README, Requirements.") from error


def start_embedded(
    settings: EmbeddedSettings, *, repository: Path, ledger: Ledger
) -> tuple[subprocess.Popen[bytes], dict[str, str]]:
    """Start an embedded AWS in a session of its own, so that Ctrl-C leaves it up for the teardown.

    Its stdin is a pipe that we hold: whatever ends us closes it, and it then stops all that it runs.

    Returns:
        The process, and what it said when it was ready: ``endpoint``, ``pid``, ``id``.
    """
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    file = settings.state_dir / _SETTINGS
    file.write_text(settings.to_json(), encoding="utf-8")
    log = settings.state_dir / "embedded.log"
    ledger.about_to_create("embedded-aws", str(settings.state_dir))
    with log.open("ab") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "readiness.embedded", "--settings", str(file), "--stop-with-stdin"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            cwd=repository,
            start_new_session=True,
        )
    try:
        ready: dict[str, str] = json.loads(_first_line(process, _START_DEADLINE_S))
    except BaseException as error:
        process.kill()
        process.wait()
        if not isinstance(error, ValueError):
            raise  # an interruption: nobody else would stop it
        tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
        raise CloudError(f"The embedded AWS did not start:\n{tail}", hint=f"Its log is {log}.") from None
    ledger.note("embedded-aws-ready", name=ready["id"], endpoint=ready["endpoint"], pid=str(ready["pid"]))
    return process, ready


def _first_line(process: subprocess.Popen[bytes], deadline_s: float) -> bytes:
    """Return the first line that a program says; less than a line if it ends, or takes too long, before."""
    assert process.stdout is not None
    until = time.monotonic() + deadline_s
    said = b""
    with selectors.DefaultSelector() as ready:
        ready.register(process.stdout, selectors.EVENT_READ)
        while b"\n" not in said and ready.select(max(0.0, until - time.monotonic())):
            more = os.read(process.stdout.fileno(), 65536)
            if not more:
                break
            said += more
    return said


def stop_embedded(process: subprocess.Popen[bytes], embedded_id: str) -> None:
    """Stop an embedded AWS and prove that no process of it is left.

    Raises:
        TeardownError: something of it is still running.
    """
    with suppress(OSError):
        if process.stdin is not None:
            process.stdin.close()
    try:
        process.wait(timeout=_STOP_DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    except BaseException:  # somebody would not wait: what it runs must not outlive us all the same
        process.kill()
        process.wait()
        await_no_strays(embedded_id)
        raise
    await_no_strays(embedded_id)


def await_no_strays(embedded_id: str) -> None:
    """Wait until no process carries an embedded AWS's id; past a deadline end what is left.

    Raises:
        TeardownError: a process could not be ended.
    """
    await_end(lambda: strays(embedded_id), deadline_s=10.0)


def await_end(find: Callable[[], list[psutil.Process]], *, deadline_s: float) -> None:
    """Wait until *find* finds no process any more; past the deadline end what it finds.

    Raises:
        TeardownError: a process could not be ended.
    """
    until = time.monotonic() + deadline_s
    while find() and time.monotonic() < until:
        time.sleep(0.1)
    for stray in find():
        with suppress(psutil.Error):
            stray.kill()
    _, alive = psutil.wait_procs(find(), timeout=5)
    if alive:
        raise TeardownError(
            [f"process {each.pid}" for each in alive], hint="End them: kill -9 " + " ".join(str(p.pid) for p in alive)
        )


def servers(folder: str) -> list[psutil.Process]:
    """Return the processes that serve the embedded AWS whose files lie in *folder*: it is on their command line."""
    settings = str(Path(folder) / _SETTINGS)
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if settings in process.cmdline() and process.pid != os.getpid():
                found.append(process)
    return found


def strays(embedded_id: str) -> list[psutil.Process]:
    """Return the processes that an embedded AWS started: they carry its id."""
    return _carrying(EMBEDDED_ID_VARIABLE, embedded_id)


def programs_of(run_id: str) -> list[psutil.Process]:
    """Return the programs that a run started on this machine, such as a deployment: they carry its id."""
    return _carrying(contract.RUN_VARIABLE, run_id)


def _carrying(variable: str, value: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get(variable) == value and process.pid != os.getpid():
                found.append(process)
    return found


@contextmanager
def translated(operation: str) -> Iterator[None]:
    """Turn what boto3 raises into a ``CloudError`` that says which operation failed."""
    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        hint = "Renew your credentials and go on with `readiness teardown RUN_ID`." if "Expired" in code else ""
        raise CloudError(f"{operation} failed: {error}", hint=hint) from error
    except BotoCoreError as error:
        raise CloudError(f"{operation} failed: {error}", hint="Is the endpoint reachable?") from error
    except Exception as error:
        if not _is_unreadable(error):
            raise
        raise CloudError(
            f"{operation} failed: the answer cannot be read.", hint="Is what answers at the endpoint an AWS?"
        ) from error


def _is_unreadable(error: Exception) -> bool:
    """Say whether botocore could not read an answer: where it is no AWS's, that is a plain KeyError as often as not."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return frames[-1].f_globals.get("__name__") == "botocore.parsers"


def is_gone(error: ClientError) -> bool:
    """Say whether an error means that the thing asked for is not there."""
    code = error.response.get("Error", {}).get("Code", "")
    return any(word in code for word in ("NotFound", "NoSuch", "NonExistent", "DoesNotExist", "ResourceNotFound"))
