"""`podium submit`: a sweep as a job of a running Ray cluster."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from orchestrator.cli.output import print_notes, say, shown_looks
from orchestrator.engine.jobs import (
    EXIT_STOPPED,
    Job,
    JobServer,
    Submission,
    exit_code,
    prepare,
)
from orchestrator.engine.signals import raise_on_signals
from orchestrator.sweep import survey_config
from orchestrator.wording import count_text
from workers.contract import UserError


def submit_command(
    path: Path,
    address: str,
    overrides: Sequence[str],
    retry: Sequence[str],
    *,
    follow: bool,
    stop: bool,
    with_code: bool,
) -> int:
    """Submits a sweep, or follows or stops the job that already runs it; returns the exit code."""
    submission = prepare(path, overrides, retry, with_code=with_code)
    server = JobServer(address, on_wait=lambda text: print_notes((text,)))
    running = [job for job in server.jobs(submission) if not job.has_ended]
    if stop:
        return _stop(server, submission, running)
    if running and not follow:
        msg = (
            f"this sweep runs already at {server.address}, as job {running[-1].submission_id}; "
            "podium submit with --follow shows it, with --stop ends it"
        )
        raise UserError(msg)
    if running:
        submission_id = running[-1].submission_id
        sys.stderr.write(f"note: this sweep runs already, as job {submission_id}; following it\n")
    else:
        _note_place(submission)
        _check_data(path, overrides)
        submission_id = server.submit(submission)
        sys.stdout.write(f"Submitted as job {submission_id} to {server.address}\n")
    if not follow:
        sys.stdout.write(
            f"Next: the same command with --follow, or with --stop; podium status "
            f"{_shown(submission.results)}\n"
        )
        return 0
    return _follow(server, submission_id)


def _follow(server: JobServer, submission_id: str) -> int:
    def write(text: str) -> None:
        say(text)
        sys.stdout.flush()

    raise_on_signals()
    try:
        job = server.follow(submission_id, write)
    except KeyboardInterrupt:
        sys.stderr.write(
            f"\nNo longer following; job {submission_id} goes on. The same command follows it "
            "again, with --stop it ends.\n"
        )
        return EXIT_STOPPED
    if "No module named orchestrator" in job.message:
        msg = (
            "podium is not installed for the `python` of the cluster: use an image that has it "
            "(docker/Dockerfile), or send this one along with --with-code"
        )
        raise UserError(msg)
    code = exit_code(job)
    sys.stdout.write(f"Job {submission_id}: {job.status}, exit code {code}\n")
    return code


def _stop(server: JobServer, submission: Submission, running: Sequence[Job]) -> int:
    if not running:
        sys.stdout.write(f"No job of {submission.name} runs at {server.address}\n")
    for job in running:
        ended = server.stop(job.submission_id)
        sys.stdout.write(
            f"Job {job.submission_id}: {ended.status}; the same sweep submitted again goes on from "
            "here\n"
        )
    return 0


def _check_data(path: Path, overrides: Sequence[str]) -> None:
    """Surveys the datasets that are on this machine, as the job will.

    Raises:
        UserError: The job would refuse one of them.
    """
    with shown_looks():
        found = survey_config(path, overrides, fetch=False)
    if found.refusals:
        raise UserError("\n".join(found.refusals))
    notes = list(found.notes)
    if found.absent:
        notes.append(
            f"{count_text(len(found.absent), 'dataset')} not on this machine: the job looks at "
            "them on the cluster, before its first trial"
        )
    print_notes(notes)


def _note_place(submission: Submission) -> None:
    if "://" not in submission.results:
        sys.stderr.write(
            f"note: results go to the folder {submission.results} of the cluster's nodes, which "
            "must be one that all of them share; `--set results=s3://bucket/prefix` needs none\n"
        )


def _shown(results: str) -> str:
    return results.partition("?")[0]
