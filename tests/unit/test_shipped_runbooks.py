"""The commands of the shipped runbooks: every AWS CLI command, option and metric in them is one that AWS knows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import botocore.session
import pytest
from awscli.clidriver import create_clidriver
from botocore import xform_name

from readiness.runbook import Runbook, load_runbooks
from readiness.runbook_body import Block

ROOT = Path(__file__).parents[2]
RUNBOOKS = load_runbooks(ROOT / "runbooks", ROOT)
COMMAND = re.compile(r"\baws (?P<service>[a-z0-9-]+) (?P<operation>[a-z0-9-]+)(?P<rest>(?: \\\n|\\.|[^\n;|&)])*)")
GLOBAL = {"--query", "--output", "--region", "--no-cli-pager"}


def commands(code: str) -> Iterator[tuple[str, str, str]]:
    """Yield service, operation and the rest of each AWS CLI command of a block."""
    bare = re.sub(r"'[^'\n]*'", "''", code.replace("\\\n", " "))
    for match in COMMAND.finditer(bare):
        yield match["service"], match["operation"], match["rest"]


@cache
def known_options(service: str, operation: str) -> frozenset[str]:
    """Return the options of a command of the AWS CLI; of ``wait``: what it can wait for."""
    services = create_clidriver()._get_command_table()
    assert service in services, f"aws has no {service}"
    if operation == "wait":
        waiters = botocore.session.get_session().get_waiter_model(service)
        return frozenset(xform_name(name, "-") for name in waiters.waiter_names)
    operations = services[service]._get_command_table()
    assert operation in operations, f"aws {service} has no {operation}"
    return frozenset(f"--{name}" for name in operations[operation].arg_table)


BLOCKS = [pytest.param(book, block, id=f"{book.about.id}-{block.name}") for book in RUNBOOKS for block in book.blocks]


@pytest.mark.parametrize(("book", "block"), BLOCKS)
def test_every_command_and_option_is_one_of_the_aws_cli(book: Runbook, block: Block):
    for service, operation, rest in commands(block.code):
        options = {rest.split()[0]} if operation == "wait" else set(re.findall(r"(?<!\S)--[a-z0-9-]+", rest))
        assert options - known_options(service, operation) - GLOBAL == set(), (service, operation)


def test_commands_are_found_in_the_blocks():
    found = {
        (service, operation)
        for book in RUNBOOKS
        for block in book.blocks
        for service, operation, _ in commands(block.code)
    }

    assert len(found) > 40
    assert {("rds", "modify-db-cluster"), ("elasticache", "test-failover"), ("logs", "start-query")} <= found


@pytest.mark.parametrize("book", RUNBOOKS, ids=lambda book: book.about.id)
def test_a_runbook_reads_like_one(book: Runbook):
    text = (ROOT / book.path).read_text(encoding="utf-8")

    assert len(book.blocks) >= 4, "there is something to execute"
    used = {name for block in book.blocks for name in block.inputs} | set(re.findall(r"\$\{?([A-Z_]+)", text))
    assert set(book.about.inputs) <= used, "no input is asked for in vain"
    assert "**Decision:**" in text or book.about.id == "rollback", "it says where to stop and think"


def test_a_runbook_that_no_alarm_names_is_reached_from_another():
    texts = {book.about.id: (ROOT / book.path).read_text(encoding="utf-8") for book in RUNBOOKS}

    lonely = [
        book.about.id
        for book in RUNBOOKS
        if not book.about.alarms
        and not any(f"]({book.about.id}.md" in text for name, text in texts.items() if name != book.about.id)
    ]
    assert lonely == ["teardown"], "which belongs to no release"
