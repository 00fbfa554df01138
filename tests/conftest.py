"""Fixtures of all tests: the real sample, a browser, one Ray cluster per session."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent


def _missing(what: str, requirement: str) -> None:
    """Skips the test, or fails it if the environment requires the missing thing."""
    if os.environ.get(requirement):
        pytest.fail(f"{what}, and {requirement} is set")
    pytest.skip(what)


# The same examples in every run of CI, so that a new failure is due to the change.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")

os.environ.pop("COLUMNS", None)  # tables in tests are as wide as in a pipe

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # A shell makes background processes ignore Ctrl-C; its tests need the default handler.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@atexit.register
def _silence_the_end() -> None:
    """Closes standard error after the last output, because DuckDB's binding reports leaks later.

    Ray and frozen objects keep references past the end of the interpreter, with one line each.
    """
    if "duckdb" in sys.modules:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


@pytest.fixture(scope="session")
def sample_data() -> Path:
    """The real sample of the six datasets, in their original layouts."""
    path = Path(os.environ.get("PODIUM_SAMPLE_DATA") or ROOT.parent / "shared" / "data")
    if not (path / "Kvasir-SEG").is_dir():
        _missing(
            f"no real sample data in {path}: set PODIUM_SAMPLE_DATA", "PODIUM_REQUIRE_SAMPLE_DATA"
        )
    return path


@pytest.fixture(scope="session")
def browser() -> str:
    """The command of a Chromium that can run headless."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        found = shutil.which(name)
        if found:
            return found
    _missing("no Chromium on the PATH", "PODIUM_REQUIRE_BROWSER")
    raise AssertionError


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """One local Ray with two CPUs and two logical GPUs for all tests that need it."""
    import ray

    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    ray.init(
        address="local",
        num_cpus=2,
        num_gpus=2,
        include_dashboard=False,
        logging_level=40,
        log_to_driver=False,
    )
    yield
    ray.shutdown()
