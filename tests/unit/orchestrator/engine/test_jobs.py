"""What is submitted, under which id, and what a job's end means; the server is a real one in
tests/integration/test_cluster.py."""

import json

import pytest
import yaml

from orchestrator.engine.job_requests import http_address
from orchestrator.engine.jobs import (
    MAX_CODE_BYTES,
    Job,
    JobServer,
    _Log,
    exit_code,
    next_id,
    own_code,
    prepare_job,
)
from tests.integration.sweeps import write_config
from workers.contract import UserError


def test_ids_count_on_from_the_highest():
    assert next_id("a-1f", []) == "a-1f-1"
    assert next_id("a-1f", ["a-1f-1", "a-1f-3", "b-1f-9", "a-1f-x", "a-1f-1-7", ""]) == "a-1f-4"
    assert next_id("a-1f", ["a-1f-9", "a-1f-10"]) == "a-1f-11"


def test_the_id_begins_with_name_and_grid(tmp_path):
    config = write_config(tmp_path, name="Größe & Form: all")
    stem = prepare_job(config).stem
    name, _, grid = stem.rpartition("-")
    assert name == "gr-e-form-all"
    assert len(grid) == 12
    assert prepare_job(config, ["training.max_epochs=3"]).stem != stem
    assert prepare_job(config, ["resources.cpus=2"]).stem == stem
    assert prepare_job(config, ["name=äöü"]).stem == f"sweep-{grid}"


def test_the_command_runs_without_a_shell(tmp_path):
    command = prepare_job(write_config(tmp_path), retry=["bug"]).entrypoint
    assert command == ("exec python -m orchestrator run sweep.yaml --progress plain --retry=bug")


def test_only_the_configuration_is_sent(tmp_path):
    submission = prepare_job(write_config(tmp_path), ["repeats=1"])
    assert yaml.safe_load(submission.config)["repeats"] == 1
    assert submission.code == ()
    code = prepare_job(write_config(tmp_path), with_code=True).code
    assert [folder.name for folder in code] == ["orchestrator", "workers"]
    assert all((folder / "__init__.py").is_file() for folder in code)


def test_code_folders_with_data_are_refused(monkeypatch):
    monkeypatch.setattr("orchestrator.engine.jobs.MAX_CODE_BYTES", 1 << 10)
    with pytest.raises(UserError, match=r"--with-code: .*orchestrator holds .* MiB, but a job can"):
        own_code()
    assert MAX_CODE_BYTES > 1 << 20


@pytest.mark.parametrize("key", ["results", "data.root"])
@pytest.mark.parametrize(
    "uri",
    [
        "s3://key:hush@bucket/r.tar",
        "s3://hush@bucket/r.tar?region=x",
        "s3://key:h/hush@bucket/r.tar",
        "s3://bucket/r.tar?secret_key=hush",
        "s3://bucket/r.tar?region=x&access_key=hush&scheme=http",
        "s3:/key:hush@bucket/r.tar",
        "https://key:hush@host/r.tar",
    ],
)
def test_credentials_are_neither_sent_nor_shown(tmp_path, key, uri):
    with pytest.raises(UserError, match=rf"{key}: ") as caught:
        prepare_job(write_config(tmp_path), [f"{key}={uri}"])
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        ("SUCCEEDED", 0, 0),
        ("STOPPED", None, 130),
        ("FAILED", 1, 1),
        ("FAILED", 2, 2),
        ("FAILED", 130, 130),
        ("FAILED", -9, 137),
    ],
)
def test_the_exit_code_is_that_of_the_command(status, code, expected):
    assert exit_code(Job(submission_id="a-1", status=status, exit_code=code)) == expected


def test_a_job_that_never_ran_is_reported():
    job = Job(submission_id="a-1", status="FAILED", message="no such\n image")
    with pytest.raises(UserError, match="job a-1 ended without an exit code: no such image"):
        exit_code(job)


def test_a_repeated_log_is_shown_once():
    shown: list[str] = []
    log = _Log(shown.append)
    log.add("one\n")
    log.add("two\n")
    log.position = 0  # a new connection tells everything from the start
    log.add("one\ntwo\nth")
    log.add("ree\n")
    assert "".join(shown) == "one\ntwo\nthree\n"


@pytest.mark.parametrize(
    "address",
    [
        *("ray://h:1", "h://", "http://", "tcp://me:hush@h:1", "", "http:/h:8265"),
        *("http://h:8265?a=b", "http://h 1", "h:port", "http://h#x"),
    ],
)
def test_an_address_of_no_dashboard_is_refused(address):
    with pytest.raises(
        UserError, match=r"--address .*must be the address of the dashboard, such as http://HEAD"
    ) as caught:
        JobServer(address)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("head:8265", "http://head:8265"),
        ("HTTPS://head/ray/", "https://head/ray"),
        ("http://[::1]:8265", "http://[::1]:8265"),
        ("http://me:hush@proxy:80", "http://me:hush@proxy:80"),
    ],
)
def test_an_address_has_one_form(address, url):
    assert http_address(address) == url


def test_a_submission_does_not_contain_the_token(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN", "t0ken" * 8)
    submission = prepare_job(write_config(tmp_path))
    assert "t0ken" not in json.dumps([submission.config, submission.entrypoint, repr(submission)])
