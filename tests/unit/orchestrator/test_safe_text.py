"""Text from results has no terminal commands, no formulas for spreadsheets and no secrets."""

from __future__ import annotations

import dataclasses
import io
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from orchestrator.cli.app import app
from orchestrator.progress import PlainProgress, SweepStarted, TrialFailed, TrialStarted
from orchestrator.safe_text import CsvWriter, clean, clean_json, mask
from orchestrator.store import Store
from orchestrator.store.rows import failure_row
from tests.unit.orchestrator.store.test_views import document
from tests.unit.orchestrator.store.trials import NOW, make_failure, make_result, make_spec

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\rgone\u202eltr\x08"
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def test_escapes_are_spelt_out_by_hand():
    assert clean("a\x1b]0;t\x07b") == r"a\x1b]0;t\x07b"
    assert clean("\x1b[1;31mred\x1b[0m") == "red"
    assert clean("one\r\ntwo\tthree\rfour") == "one\ntwo\tthree\\rfour"
    assert clean("\u202eabc \x9b2J \ud800") == r"\u202eabc \x9b2J \ud800"
    assert clean("café 漢字 👩\u200d🔬 χ² ±") == "café 漢字 👩\u200d🔬 χ² ±"


@given(st.text())
def test_any_text_is_harmless_and_json_is_unchanged(text):
    assert not HARMFUL.search(clean(text))
    found = clean_json(json.dumps({"a": text}, ensure_ascii=False))
    assert not HARMFUL.search(found)
    assert json.loads(found) == {"a": text}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A store whose labels, messages, tracebacks, hosts and folder were made to do harm."""
    store = Store(tmp_path / "evil")
    spec = make_spec(0)
    evil = dataclasses.replace(
        spec,
        loss=dataclasses.replace(spec.loss, label=f"loss{EVIL}"),
        dataset=dataclasses.replace(spec.dataset, label=f"set{EVIL}"),
    )
    result = dataclasses.replace(make_result(0), host=EVIL, device=EVIL, message=EVIL)
    store.commit(evil, result, committed_at=NOW)
    store.commit(make_spec(1), make_result(1), committed_at=NOW)
    for number in (4, 5):
        failure = dataclasses.replace(
            make_failure(number), message=EVIL, traceback=f"Traceback\n  {EVIL}\nE{EVIL}", host=EVIL
        )
        store.record_failure(failure)
    store.save_grid({**document(), "name": f"sweep{EVIL}"})
    (tmp_path / "evil" / "epochs" / f"part-{EVIL}.parquet").write_bytes(b"x")
    return tmp_path / "evil"


COMMANDS = [
    ["failures"], ["failures", "--json"], ["verify"], ["verify", "--json"], ["status"],
    ["rank"], ["rank", "--format", "csv"], ["rank", "--format", "markdown"], ["rank", "--json"],
    ["query", "SELECT message, host FROM failures"], ["query", "SELECT loss FROM trials"],
    ["query", "--format", "json", "SELECT loss, dataset FROM trials"],
    ["query", f"SELECT 1 AS \"{EVIL}\" FROM trials"], ["query", f"SELECT {EVIL}"],
    ["query", "--example", EVIL], ["rank", "--metric", EVIL], ["compact"],
    ["verify", "--quarantine"],
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command).strip())
def test_no_command_prints_terminal_commands(results: Path, command: list[str]) -> None:
    name, *rest = command
    found = CliRunner().invoke(app, [name, str(results), *rest])
    shown = clean(f"{found.exception}") if found.exception else ""
    assert found.exit_code in (0, 1, 2)
    assert not OBEYED.search(found.output + shown)


def test_progress_lines_are_harmless():
    stream = io.StringIO()
    progress = PlainProgress(stream, clock=lambda: 0.0)
    progress.on(SweepStarted(1, 1, 0))
    progress.on(TrialStarted("a", f"set{EVIL} · u · {EVIL} · 0"))
    progress.on(TrialFailed("a", "bug", f"{EVIL}\nmore"))
    assert "FAILED bug" in stream.getvalue()
    assert not OBEYED.search(stream.getvalue())


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=1+1", "'=1+1"), ("+A1", "'+A1"), ("-2+3", "'-2+3"), ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"), (" =1", "' =1"), ("\uff1d1", "'\uff1d1"), ("-inf", "'-inf"),
        ("-0.5", "-0.5"), ("+3e-5", "+3e-5"), ("-", "-"), ("bce", "bce"), ("a=b", "a=b"),
        (-0.5, "-0.5"), (None, ""), (7, "7"),
    ],
)  # fmt: skip
def test_no_text_cell_is_a_formula(cell, written):
    stream = io.StringIO()
    CsvWriter(stream).writerow([cell, "x"])
    assert stream.getvalue() == f"{written},x\n"


def test_queries_and_rankings_write_no_formula(tmp_path: Path):
    store = Store(tmp_path / "res")
    for number in (0, 2):
        spec = make_spec(number)
        loss = dataclasses.replace(spec.loss, label=f"=cmd|' /C calc'!A{number}")
        evil = dataclasses.replace(spec, loss=loss)
        store.commit(evil, make_result(number), committed_at=NOW)
    run = CliRunner().invoke
    asked = ["query", str(tmp_path / "res"), 'SELECT loss, -dice AS "@d" FROM trials ORDER BY 2']
    lines = run(app, [*asked, "--format", "csv"]).output.splitlines()
    assert lines == ["loss,'@d", "'=cmd|' /C calc'!A2,-0.02", "'=cmd|' /C calc'!A0,-0.0"]
    ranked = run(app, ["rank", str(tmp_path / "res"), "--format", "csv"]).output
    assert "=cmd" in ranked
    assert not re.search(r"(^|,)\"?[=+@]", ranked)


@pytest.fixture
def _secrets(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "ab/cd+EF==")
    monkeypatch.setenv("HF_TOKEN", "hf_longEnough")
    monkeypatch.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/etc/the-token")


@pytest.mark.usefixtures("_secrets")
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


@pytest.mark.usefixtures("_secrets")
def test_public_words_are_not_masked():
    assert mask("no bucket 'test'", public="s3://test/a") == "no bucket 'test'"


@pytest.mark.usefixtures("_secrets")
def test_failure_is_stored_without_secrets():
    record = make_failure(0)
    said = "403: hf_longEnough https://me:pw@host/"
    row = failure_row(dataclasses.replace(record, message=said, traceback=f"...\n{said}"))
    assert "hf_longEnough" not in row["message"] + row["traceback"]
    assert "pw" not in row["message"] + row["traceback"]
