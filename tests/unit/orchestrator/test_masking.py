"""Secrets of the environment and of URIs in whatever a library says."""

import dataclasses

import pytest

from orchestrator.safe_text import mask
from orchestrator.store.rows import failure_row
from tests.unit.orchestrator.store.trials import make_failure


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "ab/cd+EF==")
    monkeypatch.setenv("HF_TOKEN", "hf_longEnough")
    monkeypatch.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/etc/the-token")


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("key test, secret ab/cd+EF==.", "key ***, secret ***."),
        ("secret=ab%2Fcd%2BEF%3D%3D&x", "secret=***&x"),
        ("'test-sweeps', attest, s3://test/a, test.example", None),
        ("Bearer hf_longEnough: 1 of /etc/the-token", "Bearer ***: 1 of /etc/the-token"),
        ("https://me:pw@host/x?sig=1#a", "https://***@host/x?sig=***#a"),
        ("s3://b/a?region=eu&token=pw", "s3://b/a?region=eu&token=***"),
    ],
)
def test_secrets_are_masked_as_whole_words(text, masked):
    assert mask(text) == (text if masked is None else masked)


def test_what_the_message_shows_anyway_stays():
    assert mask("no bucket 'test'", public="s3://test/a") == "no bucket 'test'"


def test_a_failure_is_stored_without_secrets():

    record = make_failure(0)
    said = "403: hf_longEnough https://me:pw@host/"
    row = failure_row(dataclasses.replace(record, message=said, traceback=f"...\n{said}"))
    assert "hf_longEnough" not in row["message"] + row["traceback"]
    assert "pw" not in row["message"] + row["traceback"]
