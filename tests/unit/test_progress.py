"""What a run keeps for a later one to go on from."""

from __future__ import annotations

from readiness import progress
from readiness.ledger import Ledger
from readiness.model import Gap
from tests.unit.samples import a_judgement, a_result

SECRET = "s3cr3t-abcdefgh"


def test_a_result_is_kept_without_secrets_and_is_still_the_one_that_the_ledger_names(tmp_path, monkeypatch):
    monkeypatch.setenv("DEPLOY_TOKEN", SECRET)
    ledger = Ledger(tmp_path / "ledger.jsonl")
    result = a_result("numbers", a_judgement(gaps=(Gap(what="it", why=f"Authorization: {SECRET}"),)), observation=None)

    progress.keep(tmp_path, ledger, tmp_path / "bundle", result)

    (kept,) = progress.finished(tmp_path, ledger, tmp_path / "bundle")
    assert kept.judgement.gaps[0].why == "Authorization: ***"
    assert SECRET not in (tmp_path / "progress" / "numbers.json").read_text()
