"""`readiness runbooks`: list the runbooks, write their index, record a review or a rehearsal."""

from __future__ import annotations

import argparse
import os
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from readiness.commands.options import add_plan_option
from readiness.decide import ExitCode
from readiness.errors import ReadinessError, UsageError
from readiness.gates.runbooks import Settings, settings_in
from readiness.plan import load_plan
from readiness.runbook import INDEX, Runbook, RunbookError, load_runbooks, read_runbook, read_text, runbook_files
from readiness.runbook_index import HEAD, cells, entries, has_index, index_lines, with_index
from readiness.runbook_signing import find_runbook, record_rehearsal, sign


def add(commands: Any) -> None:
    """Add `readiness runbooks`."""
    parser = commands.add_parser(
        "runbooks",
        help="list the runbooks, write their index, record a review or a rehearsal",
        description="What stands in the runbooks' front matter, and what may be written into it. Everything else in a "
        "runbook stays as it is, to the byte.",
    )
    acts = parser.add_subparsers(title="what to do", metavar="ACT", required=True, help="one of these")
    _add_list(acts)
    _add_index(acts)
    _add_sign(acts)
    _add_rehearsed(acts)


def _add_list(acts: Any) -> None:
    parser = acts.add_parser(
        "list",
        help="print how every runbook stands today",
        description="Print each runbook with its alarm, its owner, who reviewed it and when, the last rehearsal, and "
        "what is missing. Ends with exit code 1 if a runbook cannot be read.",
    )
    _add_where(parser)
    parser.set_defaults(act=_list)


def _add_index(acts: Any) -> None:
    parser = acts.add_parser(
        "index",
        help=f"write the index into the folder's {INDEX}",
        description=f"Write the index between the two marks in the folder's {INDEX}. It holds nothing that changes by "
        "itself from one day to the next; `readiness runbooks list` also tells which review has run out.",
    )
    _add_where(parser)
    parser.add_argument("--check", action="store_true", help="write nothing; end with exit code 1 if it is stale")
    parser.set_defaults(act=_index)


def _add_sign(acts: Any) -> None:
    parser = acts.add_parser(
        "sign",
        help="record that somebody reviewed a runbook as it is now",
        description="Write the reviewer, the day and the hash of the present wording into the runbook. Any edit "
        "afterwards voids the review. Whoever wrote a runbook cannot review it; a second review by the same person "
        "replaces the first.",
    )
    parser.add_argument("id", metavar="ID", help="the runbook's file name without .md")
    parser.add_argument("--reviewer", required=True, metavar="NAME", help="who read it")
    parser.add_argument("--date", type=_day, metavar="YYYY-MM-DD", help="when; default: today, in UTC")
    parser.add_argument("--next-review", type=_day, metavar="YYYY-MM-DD", help="by when it must be read again")
    parser.add_argument(
        "--sample", action="store_true", help="nobody read it: a review for show, which does not count on AWS"
    )
    _add_where(parser)
    parser.set_defaults(act=_sign)


def _add_rehearsed(acts: Any) -> None:
    parser = acts.add_parser(
        "rehearsed",
        help="record that a run followed a runbook to its end",
        description="Write the run into the runbook, if its evidence shows that the gate `rollback` followed the "
        "runbook's steps, in the wording that it has now, and that they worked.",
    )
    parser.add_argument("id", metavar="ID", help="the runbook's file name without .md")
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="the evidence of the run")
    _add_where(parser)
    parser.set_defaults(act=_rehearsed)


def _add_where(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", type=Path, metavar="FOLDER", help="of the runbooks; default: as the plan says")
    add_plan_option(parser)


def _day(text: str) -> date:
    return date.fromisoformat(text)


# --- acts ------------------------------------------------------------------------------------------------------------


def _list(arguments: argparse.Namespace) -> int:
    settings = _settings(arguments)
    folder = _folder(arguments, settings)
    readable: list[Runbook] = []
    unreadable: list[str] = []
    for path in runbook_files(folder):
        try:
            readable.append(read_runbook(path, Path.cwd()))
        except RunbookError as error:
            unreadable.append(f"readiness: {error}")
    if not readable and not unreadable:
        raise ReadinessError(f"There is no runbook in {folder}/.", hint="See runbooks/README.md for what one is.")
    rows = [HEAD, *(cells(entry) for entry in entries(readable, _today(), settings.max_age))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
    for words in unreadable:
        print(words, file=sys.stderr)
    return ExitCode.NO_RELIABLE_VERDICT if unreadable else ExitCode.GO


def _index(arguments: argparse.Namespace) -> int:
    settings = _settings(arguments)
    path = _folder(arguments, settings) / INDEX
    text = read_text(path)
    written = _indexed(path, text, settings)
    if arguments.check:
        if written != text:
            raise ReadinessError(f"{path}: the index is stale.", hint="`readiness runbooks index` writes it again.")
        print(f"{path}: the index is as the runbooks are.")
        return ExitCode.GO
    _put(path, written)
    print(f"{path}: {'the index is written' if written != text else 'the index was as the runbooks are'}.")
    return ExitCode.GO


def _sign(arguments: argparse.Namespace) -> int:
    settings = _settings(arguments)
    folder = _folder(arguments, settings)
    path = find_runbook(folder, arguments.id)
    on = arguments.date or _today()
    if on > _today():
        raise UsageError(f"--date: {on} is yet to come.", hint="A review is recorded once it was made.")
    read_runbook(path, Path.cwd())
    review = sign(path, arguments.reviewer, on, sample=arguments.sample, next_review=arguments.next_review)
    whose = "a sample review, by nobody, under the name" if review.sample else "reviewed by"
    print(f"{path}: {whose} {review.name} on {review.date}, in the wording {review.content_hash}.")
    runbook = read_runbook(path, Path.cwd())
    if runbook.about.next_review < _today():
        print(f"  Its next review was due on {runbook.about.next_review}: name another day with --next-review.")
    for name, why in runbook.void_reviews(_today(), settings.max_age).items():
        print(f"  Does not count: {name} {why}.")
    _renew_index(folder, settings)
    return ExitCode.GO


def _rehearsed(arguments: argparse.Namespace) -> int:
    from readiness.runbook_rehearsal import rehearsed_by

    settings = _settings(arguments)
    folder = _folder(arguments, settings)
    path = find_runbook(folder, arguments.id)
    rehearsed = rehearsed_by(read_runbook(path, Path.cwd()), arguments.bundle)
    record_rehearsal(path, rehearsed)
    print(f"{path}: rehearsed in run {rehearsed.run} on {rehearsed.date} ({rehearsed.environment}).")
    _renew_index(folder, settings)
    return ExitCode.GO


# --- where, and by which rules ---------------------------------------------------------------------------------------


def _settings(arguments: argparse.Namespace) -> Settings:
    """Return the gate's settings: those of the plan; where a folder is named and there is no plan, the defaults."""
    if arguments.folder is not None and not arguments.plan.exists():
        return Settings()
    return settings_in(load_plan(arguments.plan), str(arguments.plan))


def _folder(arguments: argparse.Namespace, settings: Settings) -> Path:
    folder = Path(arguments.folder or settings.folder)
    if not folder.is_dir():
        raise UsageError(f"There is no folder {folder}/.", hint="Name the folder of the runbooks: --folder FOLDER.")
    if not folder.resolve().is_relative_to(Path.cwd().resolve()):
        raise UsageError(f"{folder} lies outside of {Path.cwd()}.", hint="Work in the root of the repository.")
    return folder


def _today() -> date:
    return datetime.now(UTC).date()


# --- the index -------------------------------------------------------------------------------------------------------


def _indexed(path: Path, text: str, settings: Settings) -> str:
    runbooks = load_runbooks(path.parent, Path.cwd())
    return with_index(text, index_lines(entries(runbooks, None, settings.max_age)), str(path))


def _renew_index(folder: Path, settings: Settings) -> None:
    """Write the index again after a change, if the folder has one."""
    path = folder / INDEX
    if not path.exists() or not has_index(text := read_text(path)):
        return
    try:
        written = _indexed(path, text, settings)
    except ReadinessError as error:
        print(f"{path}: the index cannot be written: {error}", file=sys.stderr)
        return
    if written != text:
        _put(path, written)
        print(f"{path}: the index is written again.")


def _put(path: Path, text: str) -> None:
    """Put a text in the place of a file, whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(text.encode())
        partial.replace(path)
    except OSError as error:
        raise ReadinessError(f"{path}: cannot be written: {error.strerror}.", hint="Mend its permissions.") from error
    finally:
        partial.unlink(missing_ok=True)
