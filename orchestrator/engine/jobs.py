"""A sweep as a job of a Ray cluster: submitted, followed and stopped through its job server."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import logging
import os
import re
import shlex
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from orchestrator.address import hide_credentials
from orchestrator.config import ConfigSource, load_config
from orchestrator.config.portable import code_name, portable_yaml
from orchestrator.engine.job_requests import (
    http_address,
    patiently,
    proxy_hint,
    reach_loopback_directly,
)
from orchestrator.plan.grid import build_grid
from workers.contract import CodeFile, UserError

_T = TypeVar("_T")

CONFIG_NAME = "sweep.yaml"
"""File name of the configuration in the job's working directory."""

STOP_WAIT_SECONDS = 60
"""Time from `stop` to SIGKILL in which a sweep can end by itself. Ray's default of 3 seconds is too
short for a busy driver."""

MAX_CODE_BYTES = 16 << 20
"""Ten times the size of Podium's code; a larger folder holds something other than code."""

EXIT_STOPPED = 130

_STOP_POLL_SECONDS = 0.5
_TAIL_ATTEMPTS = 5
_TAIL_RETRY_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A sweep to submit.

    Attributes:
        name: The name of the sweep.
        stem: Beginning of the submission id of every job of this sweep; a counter follows.
        results: Location of the results, an absolute path or a URI.
        config: The configuration, with the same meaning in any folder.
        retry: Failure classes to run again.
        files: The user's files of models and losses, which are sent beside the configuration.
        code: Folders of Podium's packages to send; empty: the cluster has them installed.
    """

    name: str
    stem: str
    results: str
    config: str
    retry: tuple[str, ...] = ()
    files: tuple[CodeFile, ...] = ()
    code: tuple[Path, ...] = ()

    @property
    def entrypoint(self) -> str:
        """The shell command of the job."""
        command = ["python", "-m", "orchestrator", "run", CONFIG_NAME, "--progress", "plain"]
        # `exec`: Ray's signal then reaches the sweep and not a shell.
        return "exec " + shlex.join([*command, *(f"--retry={item}" for item in self.retry)])


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job as the server describes it.

    Attributes:
        submission_id: Its id.
        status: PENDING, RUNNING, STOPPED, SUCCEEDED or FAILED.
        exit_code: Exit code of its command; None if it runs, was stopped or never started.
        message: The server's message about its end.
        results: Digest of the location of its results, from `podium submit`.
    """

    submission_id: str
    status: str
    exit_code: int | None = None
    message: str = ""
    results: str | None = field(default=None, repr=False)

    @property
    def has_ended(self) -> bool:
        """Whether it was stopped, succeeded or failed."""
        return self.status in ("STOPPED", "SUCCEEDED", "FAILED")


def prepare_job(
    config: ConfigSource,
    overrides: Sequence[str] = (),
    retry: Sequence[str] = (),
    *,
    with_code: bool = False,
) -> Submission:
    """Checks a configuration and prepares it for a cluster; nothing is sent.

    Raises:
        UserError: The user must fix something in the configuration first.
    """
    loaded = load_config(config, overrides)
    slug = re.sub(r"[^a-z0-9]+", "-", loaded.name.lower()).strip("-")[:40] or "sweep"
    return Submission(
        name=loaded.name,
        stem=f"{slug}-{build_grid(loaded).grid_id}",
        results=loaded.results,
        config=portable_yaml(config, overrides),
        retry=tuple(retry),
        files=loaded.code,
        code=own_code() if with_code else (),
    )


def own_code() -> tuple[Path, ...]:
    """Returns the folders of the packages that this process runs.

    Raises:
        UserError: A folder is too large to hold only code.
    """
    here = Path(__file__).resolve().parents[1]
    folders = (here, here.parent / "workers")
    for folder in folders:
        files = (file for file in folder.rglob("*") if "__pycache__" not in file.parts)
        size = sum(file.stat().st_size for file in files if file.is_file())
        if size > MAX_CODE_BYTES:
            msg = (
                f"--with-code: {folder} holds {size >> 20} MiB, but a job can take at most "
                f"{MAX_CODE_BYTES >> 20} MiB of code; move data and results out of it"
            )
            raise UserError(msg)
    return folders


def next_id(stem: str, taken: Sequence[str]) -> str:
    """Returns the stem with the number after the highest used one: `focal-1f2e-3`."""
    used = [int(number) for number in (_number(stem, item) for item in taken) if number]
    return f"{stem}-{max(used, default=0) + 1}"


def _number(stem: str, submission_id: str) -> str | None:
    match = re.fullmatch(re.escape(stem) + r"-(\d+)", submission_id)
    return match.group(1) if match else None


def exit_code(job: Job) -> int:
    """Returns the exit code of a job that ended: that of its command, or 130 if it was stopped.

    Raises:
        UserError: The command did not run, or the server does not know how it ended.
    """
    if job.status == "SUCCEEDED":
        return 0
    if job.status == "STOPPED":
        return EXIT_STOPPED
    if job.exit_code is None:
        reason = " ".join(job.message.split()) or "the server gives no reason"
        msg = f"job {job.submission_id} ended without an exit code: {reason}"
        raise UserError(msg)
    return job.exit_code if job.exit_code >= 0 else 128 - job.exit_code


class JobServer:
    """The job server of a cluster's head node; the token comes from Ray's own variables."""

    def __init__(self, address: str, on_wait: Callable[[str], None] = lambda _: None) -> None:
        """Connects.

        Args:
            address: Address of the dashboard.
            on_wait: Called with a sentence about what this client waits for.

        Raises:
            UserError: No server answers, it refuses the token, or the address is not for HTTP.
        """
        url = http_address(address)
        self.address = hide_credentials(url)
        self._on_wait = on_wait
        reach_loopback_directly(url)
        with self._explained():
            from ray.job_submission import JobSubmissionClient

            from orchestrator.engine.ray_private import JOB_LOGGERS

            for name in JOB_LOGGERS:
                logging.getLogger(name).setLevel(logging.WARNING)
            # Ray prefers these to the address that it is given.
            for name in ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"):
                os.environ.pop(name, None)
            self._client = self._patiently(lambda: JobSubmissionClient(url))

    def jobs(self, submission: Submission) -> tuple[Job, ...]:
        """Returns the jobs of the same grid with the same results, the oldest first."""
        with self._explained():
            found = [_job(details) for details in self._patiently(self._client.list_jobs)]
        location = _digest(submission.results)
        mine = [
            job
            for job in found
            if _number(submission.stem, job.submission_id) and job.results == location
        ]
        return tuple(sorted(mine, key=lambda job: _by_number(submission.stem, job)))

    def job(self, submission_id: str) -> Job:
        """Returns one job."""
        with self._explained():
            return _job(self._client.get_job_info(submission_id))

    def submit(self, submission: Submission) -> str:
        """Sends the configuration with its files of code and starts the job; returns its id."""
        with self._explained():
            taken = [item.submission_id or "" for item in self._patiently(self._client.list_jobs)]
            submission_id = next_id(submission.stem, taken)
            with tempfile.TemporaryDirectory(prefix="podium-submit-") as folder:
                (Path(folder) / CONFIG_NAME).write_text(submission.config, encoding="utf-8")
                for file in submission.files:
                    (Path(folder) / code_name(file)).write_text(file.source, encoding="utf-8")
                send = functools.partial(
                    self._client.submit_job,
                    entrypoint=submission.entrypoint,
                    submission_id=submission_id,
                    runtime_env=_runtime_environment(folder, submission.code),
                    metadata={
                        "podium": submission.name,
                        "results": _digest(submission.results),
                    },
                )
                return str(self._patiently(send, done=submission_id))

    def _patiently(self, request: Callable[[], _T], done: _T | None = None) -> _T:
        return patiently(request, self.address, self._on_wait, done)

    def follow(self, submission_id: str, write: Callable[[str], object]) -> Job:
        """Passes the job's output to `write` until the job ends.

        Raises:
            UserError: The server stopped answering; the job may still run.
        """
        log = _Log(write)
        failures = 0
        while True:
            before = log.shown
            problem = None
            try:
                with self._explained():
                    asyncio.run(self._tail(submission_id, log))
                job = self.job(submission_id)
                if job.has_ended:
                    return job
            except UserError as error:
                problem = error
            failures = 1 if log.shown > before else failures + 1
            if failures > _TAIL_ATTEMPTS and problem:
                raise problem
            _wait(_TAIL_RETRY_SECONDS)

    async def _tail(self, submission_id: str, log: _Log) -> None:
        log.position = 0
        async for text in self._client.tail_job_logs(submission_id):
            log.add(text)

    def stop(self, submission_id: str) -> Job:
        """Ends a job like Ctrl-C and waits for its end."""
        with self._explained():
            self._client.stop_job(submission_id)
        # Ray kills the remaining processes after STOP_WAIT_SECONDS.
        for _ in range(int((STOP_WAIT_SECONDS + 30) / _STOP_POLL_SECONDS)):
            job = self.job(submission_id)
            if job.has_ended:
                return job
            _wait(_STOP_POLL_SECONDS)
        msg = (
            f"job {submission_id} is still {job.status} after {STOP_WAIT_SECONDS + 30} s; try again"
        )
        raise UserError(msg)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turns errors of the client into messages with a remedy, without the token."""
        from ray.exceptions import AuthenticationError

        try:
            yield
        except AuthenticationError as error:
            reason = str(error).partition("\n")[0].partition(". ")[0].strip()
            msg = (
                f"{self.address}: {reason}; set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN (or "
                "RAY_AUTH_TOKEN_PATH) to the cluster's token"
            )
            raise UserError(msg) from None
        except _client_errors() as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            hint = proxy_hint(self.address)
            if "already exists" in reason:
                msg = f"another process submitted this sweep to {self.address} just now; try again"
                raise UserError(msg) from error
            if reason.startswith("Request failed with status code"):
                msg = f"the job server at {self.address} refused: {reason}{hint}"
                raise UserError(msg) from error
            msg = (
                f"no answer from a Ray job server at {self.address}: {reason}; start the head with "
                "`ray start --head --dashboard-host=0.0.0.0` and ray[default] installed, and check "
                f"that this machine reaches its port 8265{hint}"
            )
            raise UserError(msg) from error


@dataclass
class _Log:
    """A job's output, which is shown once although each tail sends it from the beginning."""

    write: Callable[[str], object]
    shown: int = 0
    position: int = 0

    def add(self, text: str) -> None:
        start = max(0, self.shown - self.position)
        self.position += len(text)
        if start < len(text):
            self.write(text[start:])
            self.shown = self.position


def _client_errors() -> tuple[type[Exception], ...]:
    """Returns the errors that the client raises; it cannot be created without aiohttp."""
    aiohttp = sys.modules.get("aiohttp")
    own = (aiohttp.ClientError,) if aiohttp else ()
    return (OSError, RuntimeError, ValueError, *own)


def _runtime_environment(folder: str, code: Sequence[Path]) -> dict[str, Any]:
    environment: dict[str, Any] = {
        "working_dir": folder,
        "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_WAIT_SECONDS)},
    }
    if code:
        environment |= {"py_modules": [str(item) for item in code], "excludes": ["__pycache__"]}
    return environment


def _job(details: Any) -> Job:
    metadata: Mapping[str, str] = details.metadata or {}
    return Job(
        submission_id=details.submission_id or "",
        status=str(getattr(details.status, "value", details.status)),
        exit_code=details.driver_exit_code,
        message=details.message or "",
        results=metadata.get("results"),
    )


def _by_number(stem: str, job: Job) -> int:
    return int(_number(stem, job.submission_id) or 0)


def _digest(results: str) -> str:
    """Returns a name of a results location that does not reveal it on the cluster."""
    return hashlib.sha256(results.encode()).hexdigest()[:16]


def _wait(seconds: float) -> None:
    threading.Event().wait(seconds)
