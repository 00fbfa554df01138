"""What `podium submit` says, with a job server that answers as told."""

from __future__ import annotations

import pytest
import typer

from orchestrator.cli.submit import submit
from orchestrator.engine.jobs import Job
from tests.integration.sweeps import write_config, write_pictures
from workers.contract import UserError

RUNNING = Job(submission_id="tiny-1f-1", status="RUNNING")


class Server:
    """Stands for `JobServer`; a real one is met in tests/integration/test_cluster.py."""

    def __init__(self, jobs=(), end=None):
        self.address, self._jobs, self._end, self.calls = "http://h:8265", jobs, end, []

    def jobs(self, submission):
        return self._jobs

    def submit(self, submission):
        self.calls.append("submit")
        return "tiny-1f-2"

    def follow(self, submission_id, write):
        self.calls.append(f"follow {submission_id}")
        if self._end is None:
            raise KeyboardInterrupt
        write("output\n")
        return self._end

    def stop(self, submission_id):
        self.calls.append(f"stop {submission_id}")
        return Job(submission_id=submission_id, status="STOPPED")


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Runs the command with a server and returns its exit code."""

    def run(server, *, follow=False, stop=False, **changes):
        monkeypatch.setattr("orchestrator.engine.jobs.JobServer", lambda address, on_wait: server)
        config = write_config(tmp_path, **changes)
        try:
            submit(config, "http://h:8265", follow=follow, stop=stop)
        except typer.Exit as end:
            return end.exit_code
        return 0

    return run


def test_sweep_with_an_ended_job_is_submitted(command, capsys):
    server = Server([Job(submission_id="tiny-1f-1", status="FAILED", exit_code=1)])
    assert command(server, results="s3://bucket/there?region=x") == 0
    assert server.calls == ["submit"]
    said = capsys.readouterr()
    assert "Submitted as job tiny-1f-2 to http://h:8265" in said.out
    assert "podium status s3://bucket/there\n" in said.out
    assert said.err == ""  # S3 is shared by nature


def test_local_folder_of_results_is_noted(command, capsys, tmp_path):
    command(Server())
    assert (
        f"results go to the folder {tmp_path}/results of the cluster's" in capsys.readouterr().err
    )


def test_running_job_is_refused_or_followed(command, capsys):
    server = Server([RUNNING], Job(submission_id="tiny-1f-1", status="FAILED", exit_code=1))
    with pytest.raises(UserError, match="as job tiny-1f-1; add --follow"):
        command(server)
    assert command(server, follow=True) == 1
    assert server.calls == ["follow tiny-1f-1"]
    said = capsys.readouterr()
    assert "already runs as job tiny-1f-1; following it" in said.err
    assert said.out == "output\nJob tiny-1f-1: FAILED, exit code 1\n"


def test_ctrl_c_stops_following_and_leaves_the_job(command, capsys):
    server = Server()
    assert command(server, follow=True) == 130
    assert server.calls == ["submit", "follow tiny-1f-2"]
    assert "job tiny-1f-2 continues" in capsys.readouterr().err


def test_stop_ends_every_running_job(command, capsys):
    server = Server([RUNNING])
    assert command(server, stop=True) == 0
    assert server.calls == ["stop tiny-1f-1"]
    assert "Job tiny-1f-1: STOPPED; submit the same sweep again" in capsys.readouterr().out


def test_cluster_without_podium_is_reported_with_remedy(command):
    end = Job(
        submission_id="tiny-1f-2",
        status="FAILED",
        exit_code=1,
        message="python: No module named orchestrator",
    )
    with pytest.raises(
        UserError, match=r"not installed for the `python` of the cluster.*with-code"
    ):
        command(Server(end=end), follow=True)


def test_local_data_is_surveyed_before_the_job_is_sent(command, tmp_path, capsys):
    server = Server()
    folder = {"name": "folder", "alias": "own", "root": str(tmp_path / "own")}
    write_pictures(tmp_path, "own", num=15)
    (tmp_path / "own" / "masks" / "3.png").unlink()
    assert command(server, datasets=[folder]) == 0
    note = "note: dataset own: image without mask, left out: 1 (images/3.png)\n"
    assert note in capsys.readouterr().err
    (tmp_path / "own" / "masks" / "4.png").write_bytes(b"torn")
    with pytest.raises(UserError, match=r"cannot be read as a picture: 1 \(masks/4\.png"):
        command(server, datasets=[folder])
    assert server.calls == ["submit"]


def test_absent_data_is_checked_by_the_job(command, tmp_path, capsys):
    absent = {"name": "folder", "alias": "own", "root": str(tmp_path / "there")}
    assert command(Server(), datasets=[absent]) == 0
    assert "note: 1 dataset not on this machine: the job checks them" in capsys.readouterr().err
