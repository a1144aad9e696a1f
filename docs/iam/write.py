"""Write the harness's IAM policy out of its source and runbooks: `python docs/iam/write.py`."""

from __future__ import annotations

import json
from pathlib import Path

from readiness import permissions

FOLDER = Path(__file__).parent
REPOSITORY = FOLDER.parents[1]


def main() -> None:
    """Write the policy into the package, for `readiness doctor`, and beside this file, for people."""
    calls = permissions.calls_of_source() | permissions.calls_of_runbooks(REPOSITORY / "runbooks")
    text = json.dumps(permissions.policy(calls), indent=2) + "\n"
    for file in (permissions.POLICY, FOLDER / permissions.POLICY.name):
        file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
