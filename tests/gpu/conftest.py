"""Tests that need a GPU; PODIUM_REHEARSE_GPU=1 runs their code on the CPU, small."""

from __future__ import annotations

import os

import pytest
import torch

from tests.benchmarks.gpu_phases import Settings


@pytest.fixture(scope="session")
def settings() -> Settings:
    """Sizes of a trial, on the GPU or for a rehearsal; without both the test is skipped."""
    if torch.cuda.is_available():
        return Settings(side=96, batch_size=4, seconds=0.5, width=None, use_gpu=True)
    if os.environ.get("PODIUM_REHEARSE_GPU"):
        return Settings(side=32, batch_size=2, seconds=0.01, width=4, use_gpu=False)
    pytest.skip("torch finds no CUDA device; PODIUM_REHEARSE_GPU=1 runs this on the CPU")
