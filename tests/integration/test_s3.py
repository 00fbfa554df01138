"""A sweep whose results and checkpoints are on S3, from configuration to report, on loopback."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pandas as pd
import pytest
from pyarrow import fs
from typer.testing import CliRunner

from orchestrator.cli.app import app
from orchestrator.engine.inline import InlineEngine
from orchestrator.engine.jobs import prepare_job
from orchestrator.store import Store
from tests.conformance.conftest import s3_bucket, s3_environment, s3_port
from tests.conformance.faulty_server import serve
from tests.integration.sweeps import run, tables, write_config
from tests.integration.test_resume import EPOCHS, StoppingTrainer

__all__ = ["s3_bucket", "s3_environment", "s3_port"]


def podium(*arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_sweep_on_an_unreliable_store_gives_equal_numbers(
    tmp_path: Path, s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted, resumed, compacted and queried: the same numbers as on a disk."""
    server, stop = serve()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.port}")
    results = f"s3://{s3_bucket}/sweeps/tiny"
    try:
        server.every(9, ["SlowDown", "InternalError", "drop-before", "drop-after", "torn"])
        config = write_config(tmp_path, training=EPOCHS, results=results)
        report, _ = run(config, engine=InlineEngine(StoppingTrainer(3)))
        assert report.interrupted
        assert any("_checkpoints/" in request for request in server.requests)
        report, plan = run(config)
        assert (report.interrupted, len(plan.pending), len(report.outcomes)) == (False, 0, 4)
        assert len(server.faults) > 10
        server.decide = lambda _number, _request: None
        alone = write_config(tmp_path, training=EPOCHS, results=str(tmp_path / "local"))
        run(alone)
        expected = tables(tmp_path / "local")
        for name, rows in tables(results).items():
            pd.testing.assert_frame_equal(rows, expected[name], check_exact=True)
        assert [len(Store(results).read(name)) for name in ("trials", "failures")] == [4, 0]
        podium("compact", results)
        assert "4 trials whole" in podium("verify", results)
        assert "2" in podium("query", results, "SELECT count(DISTINCT loss) AS n FROM trials")
        podium("report", results, "--out", str(tmp_path / "report"), "--draws", "100")
        assert (tmp_path / "report" / "index.html").exists()
    finally:
        stop()


@pytest.mark.timeout(60)
def test_secrets_are_in_no_file_row_log_or_submission(
    tmp_path: Path, s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in the exception of a trial, where a library repeats the secret."""
    secrets = ("hush-access-key", "hush/secret+key=", "hush-token-of-a-hub", "hush-password")
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN")
    for name, secret in zip(names, secrets, strict=False):
        monkeypatch.setenv(name, secret)
    said = f"key {secrets[0]}, {secrets[1]}; https://me:{secrets[3]}@host/?X-Sig={secrets[2]}."

    def failing(*_: object) -> NoReturn:
        raise PermissionError(said)

    monkeypatch.setattr("orchestrator.engine.inline._run_trial", lambda: failing)
    results = f"s3://{s3_bucket}/sweeps"
    config = write_config(tmp_path, training=EPOCHS, results=results)
    texts = [prepare_job(config).config]
    for mode in ("plain", "json"):
        command = ["run", str(config), "--engine", "inline", "--progress", mode]
        texts.append(CliRunner().invoke(app, command).output)
    for command in (["status"], ["failures", "--json"], ["verify"]):
        texts.append(CliRunner().invoke(app, [command[0], results, *command[1:]]).output)
    assert "PermissionError" in texts[1]
    assert "PermissionError" in texts[2]
    store = Store(results)
    texts += [store.read(name).to_csv() for name in ("trials", "failures")]
    files, _ = fs.FileSystem.from_uri(f"s3://{s3_bucket}")
    found = files.get_file_info(fs.FileSelector(s3_bucket, recursive=True))
    for info in found:
        if info.type == fs.FileType.File:
            texts.append(files.open_input_file(info.path).read().decode("latin-1"))
    texts += [p.read_text("latin-1") for p in (tmp_path / "cache").rglob("*") if p.is_file()]
    assert len(store.read("failures")) == 8
    assert not [text for text in texts for secret in secrets if secret in text]
