"""The command line: arguments in, exit code out. It and the commands are all that prints to stdout."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

import readiness
from readiness.commands import COMMANDS
from readiness.decide import ExitCode
from readiness.errors import PlanError, ReadinessError, TeardownError, UsageError
from readiness.interruption import Interrupted
from readiness.secrecy import conceal

_EPILOG = """\
exit codes:
  0    GO, or a rehearsal in which every required gate passed
  1    no reliable verdict: a gate was inconclusive, a signature is missing, or the harness failed
  2    NO-GO: a required gate failed
  3    the plan or the waivers are invalid, or the account is production; no clone was deployed
  4    something of the run may still exist (outranks 0, 1, 2 and 130)
  5    the command line is wrong, or nobody agreed to what it costs; nothing was made
  130  interrupted, and torn down

a first run, with no AWS account:
  readiness run                 rehearse everything on an AWS that is emulated on this machine
  readiness verify BUNDLE       recompute the verdict from its evidence
  readiness report BUNDLE       make the reports again from its evidence
"""


class _Parser(argparse.ArgumentParser):
    """argparse, with the exit code of this tool for a wrong command line."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        print(f"{self.prog}: {message}", file=sys.stderr)
        sys.exit(ExitCode.USAGE)


def command(arguments: Sequence[str]) -> int:
    """Do what the arguments say and return the exit code; an error is a sentence on stderr, never a traceback."""
    parsed = build_parser().parse_args(arguments)
    if not hasattr(parsed, "act"):
        build_parser().print_help()
        return ExitCode.USAGE
    try:
        return int(parsed.act(parsed))
    except PlanError as error:
        return _fail(error, ExitCode.INVALID_PLAN)
    except UsageError as error:
        return _fail(error, ExitCode.USAGE)
    except TeardownError as error:
        return _fail(error, ExitCode.LEFTOVERS)
    except ReadinessError as error:
        return _fail(error, ExitCode.NO_RELIABLE_VERDICT)
    except (KeyboardInterrupt, Interrupted):
        with suppress(OSError):
            print("readiness: interrupted", file=sys.stderr)
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.NO_RELIABLE_VERDICT
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return _fail(ReadinessError(f"{place}{error.strerror or error}."), ExitCode.NO_RELIABLE_VERDICT)


def _fail(error: ReadinessError, code: ExitCode) -> int:
    with suppress(OSError):  # the code must be told although nobody reads the words any more
        print(conceal(f"readiness: {error}"), file=sys.stderr)
    return code


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = _Parser(
        prog="readiness",
        description="Decides, on evidence, whether a system on AWS may go live.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"readiness {readiness.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=_Parser)
    for each in COMMANDS:
        each.add(commands)
    return parser
