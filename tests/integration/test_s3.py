"""A sweep whose results and checkpoints are on S3, from configuration to report, on loopback."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from orchestrator.cli.app import app
from orchestrator.engine.inline import InlineEngine
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
def test_a_sweep_on_a_store_that_fails_every_so_often(
    tmp_path: Path, s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted, resumed, compacted, asked: the same numbers as on a disk."""
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
        podium("report", results, "--out", str(tmp_path / "report"), "--samples", "100")
        assert (tmp_path / "report" / "index.html").exists()
    finally:
        stop()
