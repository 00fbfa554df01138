"""Made-up trials of a 3 x 2 x 2 grid, with values that follow from their number."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from orchestrator.records import CandidateRow, FailureRecord
from workers.contract import (
    Component,
    EpochRecord,
    FailureClass,
    ImageCounts,
    Prediction,
    TrialResult,
    TrialSpec,
    TrialStatus,
)
from workers.identity import trial_id
from workers.metrics.scores import score_images

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def make_spec(number: int) -> TrialSpec:
    return TrialSpec(
        dataset=Component(
            name="folder", parameters={"part": number // 4}, label=f"set-{number // 4}"
        ),
        model=Component(name="unet", parameters={"width": 4}),
        loss=Component(name=("dice", "iou")[number // 2 % 2]),
        repeat=number % 2,
        seed=42,
    )


def make_result(number: int, *, diverged: bool = False, num_images: int = 2) -> TrialResult:
    """Returns a result whose Dice, recall and precision are number / 100."""
    wrong = max(100 - number, 0)
    counts = [(number, wrong, wrong, 3)] * num_images
    return TrialResult(
        status=TrialStatus.DIVERGED if diverged else TrialStatus.COMPLETED,
        metrics={} if diverged else score_images(np.array(counts)),
        num_epochs=2,
        best_epoch=None if diverged else 1,
        best_val_dice=None if diverged else 0.5,
        epochs=tuple(
            EpochRecord(epoch=n, train_loss=1 / n, val_dice=0.5, val_iou=0.25, seconds=1.5)
            for n in (1, 2)
        ),
        images=tuple(
            ImageCounts(image=f"{n}.png", tp=tp, fp=fp, fn=fn, tn=tn)
            for n, (tp, fp, fn, tn) in enumerate(counts)
        ),
        predictions=(
            Prediction(
                image="0.png",
                image_jpeg=b"jpeg",
                truth_png=b"truth",
                logits_png=b"logits",
                logit_min=-1.0,
                logit_max=float(number),
                logit_mean=0.25,
                mask_png=b"mask",
                mean_mask_png=b"mean mask",
            ),
        )
        if number % 2 == 0
        else (),
        num_train_images=6,
        num_val_images=2,
        num_test_images=num_images,
        train_seconds=3.0,
        peak_memory_bytes=1000,
        device="cpu",
        host="machine",
        gpu_ids=(),
        num_threads=1,
        dataset_fingerprint="fingerprint",
        code_version="0.1.0",
        versions={"torch": "2.8.0"},
        message="loss is NaN" if diverged else None,
    )


def make_failure(number: int, attempt: int = 1) -> FailureRecord:
    return FailureRecord(
        spec=make_spec(number),
        attempt=attempt,
        failure_class=FailureClass.BUG,
        message="ValueError: no",
        traceback="Traceback",
        host="machine",
        failed_at=NOW,
    )


def make_candidate(number: int, spec_number: int = 0, **changes: Any) -> CandidateRow:
    values: dict[str, Any] = {
        "trial_id": trial_id(make_spec(spec_number)),
        "search_id": "search",
        "number": number,
        "spec": make_spec(spec_number),
        "status": "completed",
        "parameters": {"learning_rate": 0.01},
        "val_dice": (0.25, 0.5),
        "best_val_dice": 0.5,
        "best_epoch": 2,
        "num_epochs": 2,
        "train_seconds": 3.0,
        "device": "cpu",
        "host": "machine",
        "dataset_fingerprint": "fingerprint",
        "code_version": "0.1.0",
        "versions": {"torch": "2.8.0"},
        "message": "none",
        "committed_at": NOW,
    }
    return CandidateRow(**values | changes)


def plain_counts(location: Path, table: str = "trials") -> tuple[int, int, int]:
    """Returns the rows that pandas and DuckDB read without the store, and distinct trials."""
    by_pandas = pd.read_parquet(location / table)
    pattern = location / table / "*.parquet"
    rows = duckdb.execute(f"SELECT count(*) FROM read_parquet('{pattern}')").fetchall()
    return len(by_pandas), rows[0][0], by_pandas["trial_id"].nunique()
