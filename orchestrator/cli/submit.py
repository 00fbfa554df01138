"""`podium submit`: a sweep as a job of a running Ray cluster."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.shared import (
    ConfigArgument,
    RetryOption,
    SetOption,
    print_notes,
    say,
    shown_inspection,
)
from orchestrator.engine.signals import raise_on_signals
from orchestrator.wording import count_text
from workers.contract import UserError

if TYPE_CHECKING:
    from orchestrator.engine.jobs import Job, JobServer, Submission


def submit(
    config: ConfigArgument,
    address: Annotated[
        str,
        typer.Option(
            help="The cluster's dashboard, such as http://HEAD:8265.",
            envvar="RAY_API_SERVER_ADDRESS",
        ),
    ],
    overrides: SetOption = None,
    retry: RetryOption = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Show its output and end with its exit code.")
    ] = False,
    stop: Annotated[
        bool, typer.Option("--stop", help="End the job of this sweep; finished trials are kept.")
    ] = False,
    with_code: Annotated[
        bool,
        typer.Option(
            "--with-code",
            help="Also send the code of this Podium; otherwise the cluster uses its installed "
            "version.",
        ),
    ] = False,
) -> None:
    """Run a sweep as a job of a Ray cluster; the configuration and its files of code are sent.

    With --follow the exit codes are those of `podium run`: 0, 1, 2, or 130 if the job was stopped.
    """
    from orchestrator.engine.jobs import JobServer, prepare_job

    submission = prepare_job(config, overrides or (), retry or (), with_code=with_code)
    server = JobServer(address, on_wait=lambda text: print_notes((text,)))
    running = [job for job in server.jobs(submission) if not job.has_ended]
    if stop:
        _stop(server, submission, running)
        return
    if running and not follow:
        msg = (
            f"this sweep already runs at {server.address} as job {running[-1].submission_id}; "
            "add --follow to follow it, or --stop to stop it"
        )
        raise UserError(msg)
    if running:
        submission_id = running[-1].submission_id
        sys.stderr.write(f"note: this sweep already runs as job {submission_id}; following it\n")
    else:
        _note_place(submission)
        _check_data(config, overrides or ())
        submission_id = server.submit(submission)
        sys.stdout.write(f"Submitted as job {submission_id} to {server.address}\n")
    if not follow:
        sys.stdout.write(
            "Next: run the same command with --follow or --stop, or podium status "
            f"{_shown(submission.results)}\n"
        )
        return
    raise typer.Exit(_follow(server, submission_id))


def _follow(server: JobServer, submission_id: str) -> int:
    from orchestrator.engine.jobs import EXIT_STOPPED, exit_code

    def write(text: str) -> None:
        say(text)
        sys.stdout.flush()

    raise_on_signals()
    try:
        job = server.follow(submission_id, write)
    except KeyboardInterrupt:
        sys.stderr.write(
            f"\nNo longer following; job {submission_id} continues. Run the same command to follow "
            "it again, or add --stop to end it.\n"
        )
        return EXIT_STOPPED
    if "No module named orchestrator" in job.message:
        msg = (
            "Podium is not installed for the `python` of the cluster: use an image that has it "
            "(docker/Dockerfile), or also send the code of this Podium with --with-code"
        )
        raise UserError(msg)
    code = exit_code(job)
    sys.stdout.write(f"Job {submission_id}: {job.status}, exit code {code}\n")
    return code


def _stop(server: JobServer, submission: Submission, running: Sequence[Job]) -> None:
    if not running:
        sys.stdout.write(f"No job of {submission.name} runs at {server.address}\n")
    for job in running:
        ended = server.stop(job.submission_id)
        sys.stdout.write(
            f"Job {job.submission_id}: {ended.status}; submit the same sweep again to continue it\n"
        )


def _check_data(path: Path, overrides: Sequence[str]) -> None:
    """Surveys the datasets on this machine as the job will.

    Raises:
        UserError: The job would refuse one of them.
    """
    from orchestrator.plan.survey import survey_config

    with shown_inspection():
        found = survey_config(path, overrides, fetch=False)
    if found.refusals:
        raise UserError("\n".join(found.refusals))
    notes = list(found.notes)
    if found.absent:
        notes.append(
            f"{count_text(len(found.absent), 'dataset')} not on this machine: the job checks "
            "them on the cluster before its first trial"
        )
    print_notes(notes)


def _note_place(submission: Submission) -> None:
    if "://" not in submission.results:
        sys.stderr.write(
            f"note: results go to the folder {submission.results} of the cluster's nodes, which "
            "must be a folder that all of them share; `--set results=s3://bucket/prefix` needs no "
            "shared folder\n"
        )


def _shown(results: str) -> str:
    return results.partition("?")[0]
