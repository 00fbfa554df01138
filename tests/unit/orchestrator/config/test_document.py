"""Reading a file: the permitted YAML, and the line of an error."""
# ruff: noqa: E501 - messages are quoted whole

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.config.document import parse_yaml, read_document
from tests.unit.orchestrator.config.builders import load, write
from workers.contract import UserError


def refusal(path) -> str:
    with pytest.raises(UserError) as caught:
        read_document(path)
    return str(caught.value).replace(f"{path.parent}/", "")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("-2.5E+2", -250.0),
        ("0.001", 0.001),
        ("3", 3),
        ("2025-03-01", "2025-03-01"),
        ("~", None),
        ("~/data", "~/data"),
        ("[iou, dice]", ["iou", "dice"]),
        ("{name: unet, parameters: {width: 8}}", {"name": "unet", "parameters": {"width": 8}}),
        ("", None),
    ],
)
def test_values_are_read_as_written(text, value):
    parsed = parse_yaml(text)
    assert parsed == value
    assert type(parsed) is type(value)


def test_each_key_path_knows_its_line(tmp_path):
    document = read_document(write(tmp_path, "a: 1\nb:\n  c: 2\nd:\n  - x\n  - {e: 3}\n"))
    assert document.lines["a",] == 1
    assert document.lines["b", "c"] == 3
    assert document.lines["d", 1, "e"] == 6


def test_aliases_and_a_byte_order_mark_are_understood(tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: &x {b: 1}\nc: *x\n")
    assert read_document(path).values == {"a": {"b": 1}, "c": {"b": 1}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "sweep.yaml:3:1: is not YAML: the key 'a' occurs twice, first in line 1"),
        ("a: {b: 1, b: 1}\n", "sweep.yaml:1:11: is not YAML: the key 'b' occurs twice, first in line 1"),
        ("a: [1, 2\nb: 3\n", "sweep.yaml:2:2: is not YAML: while parsing a flow sequence: expected ',' or ']', but got ':'"),
        ("a:\n\tb: 1\n", "sweep.yaml:2:1: is not YAML: while scanning for the next token: found character '\\t' that cannot start any token; indent with spaces, not tabs"),
        ("a: &x [*x]\n", "sweep.yaml:1:4: is not YAML: an alias refers to itself"),
        ("a: !!python/object:os.system {}\n", "sweep.yaml:1:4: is not YAML: could not determine a constructor for the tag 'tag:yaml.org,2002:python/object:os.system'"),
        ("", "sweep.yaml: is empty; it needs at least datasets, models, losses and results"),
        ("# only a comment\n", "sweep.yaml: is empty; it needs at least datasets, models, losses and results"),
        ("[a]\n", "sweep.yaml: is a list; it must hold keys and values such as 'datasets: [...]'"),
        ("hello\n", "sweep.yaml: is a single value; it must hold keys and values such as 'datasets: [...]'"),
    ],
)  # fmt: skip
def test_unreadable_text_is_reported_with_its_line(tmp_path, text, message):
    assert refusal(write(tmp_path, text)) == message


def test_two_documents_in_one_file_are_refused(tmp_path):
    message = refusal(write(tmp_path, "a: 1\n---\nb: 2\n"))
    assert message.startswith("sweep.yaml:2:1: is not YAML: expected a single document")


def test_a_missing_file_names_its_neighbours(tmp_path):
    write(tmp_path)
    assert refusal(tmp_path / "sweeep.yaml") == (
        "sweeep.yaml: no such file; did you mean 'sweep.yaml'? known: sweep.yaml"
    )


def test_a_missing_folder_is_a_missing_file(tmp_path):
    assert "no such file" in refusal(tmp_path / "nowhere" / "sweep.yaml")


def test_a_folder_is_refused_with_its_files(tmp_path):
    write(tmp_path)
    assert refusal(tmp_path).endswith("is a folder; name a file in it: sweep.yaml")


def test_other_encodings_are_refused(tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_bytes("name: Bjørn".encode("latin-1"))
    assert refusal(path) == "sweep.yaml: is not UTF-8 text (byte 8); save it as UTF-8"


def test_control_characters_are_refused(tmp_path):
    assert "is not YAML" in refusal(write(tmp_path, "a: \x01\n"))


def test_deep_nesting_and_huge_numbers_are_refused():
    with pytest.raises(yaml.YAMLError, match="nested too deeply"):
        parse_yaml("[" * 5000)
    with pytest.raises(yaml.YAMLError, match=r"999\.\.\.: has more than 100 digits"):
        parse_yaml("9" * 5000)


BOMBS = {
    "lists": "a0: &a0 [x, x]\n" + "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 11)),
    "mappings": "a0: &a0 {k: x}\n" + "\n".join(f"a{n}: &a{n} {{{', '.join(f'k{i}: *a{n - 1}' for i in range(10))}}}" for n in range(1, 11)),
    "merges": "a0: &a0 {k: x}\n" + "\n".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 11)),
    "text": f"a: &a {'x' * 50_000}\nb: [{', '.join(['*a'] * 1000)}]",
    "values": f"a: [{'x,' * 40_000}]",
}  # fmt: skip


@pytest.mark.timeout(10)
@pytest.mark.parametrize("bomb", BOMBS)
def test_an_alias_bomb_is_refused_at_once(tmp_path, bomb):
    started = time.process_time()
    message = refusal(write(tmp_path, BOMBS[bomb]))
    assert "holds more than 30,000 values, each alias counted" in message
    if bomb != "values":
        assert time.process_time() - started < 1


def test_few_aliases_are_no_bomb(tmp_path):
    text = "a: &a [1, 2]\nb: [*a, *a]\nc: {<<: {d: 1}, e: *a}\n"
    assert read_document(write(tmp_path, text)).values["c"] == {"d": 1, "e": [1, 2]}


@pytest.mark.timeout(10)
def test_an_endless_file_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    for path in (tmp_path / "pipe.yaml", Path("/dev/zero")):
        assert "is a pipe or a device" in refusal(path)
    (tmp_path / "large.yaml").write_text("#" * (1 << 20) + "\n")
    assert (
        refusal(tmp_path / "large.yaml")
        == "large.yaml: is larger than 1 MiB, too large for a configuration"
    )


TRAPS = ["010", "042", "+07", "-00", "1:30", "1:30:00", "1:30.5", "0x1F", "0b101", "1_000", "1_0.5", "00.5", "1_0e3", "!!int '042'", "!!float '1:30'"]  # fmt: skip


@pytest.mark.parametrize("trap", TRAPS)
def test_a_number_that_yaml_misreads_is_refused(tmp_path, trap):
    shown = trap.partition(" ")[2].strip("'") or trap
    message = refusal(write(tmp_path, f"training:\n  patience: {trap}\n"))
    assert message.startswith(
        f"sweep.yaml:2: training.patience: {shown}: is not a plain decimal number; write"
    )
    with pytest.raises(
        UserError, match=r"sweep.yaml: .*is not a plain decimal.*\(from --set losses\.0="
    ):
        load(tmp_path, f"losses.0={{name: focal, parameters: {{gamma: {trap}}}}}")


@pytest.mark.parametrize("text", ["'042'", '"1:30"', "08", "1.2.3", "1e", "+", "12:ab"])
def test_text_stays_text(text):
    assert parse_yaml(text) == text.strip("'\"")


@settings(deadline=None, max_examples=200)
@given(st.one_of(st.integers(-(2**70), 2**70), st.floats()))
def test_a_plain_number_is_read_as_written(number):
    text = str(number) if isinstance(number, int) else yaml.safe_dump(number).partition("\n")[0]
    found = parse_yaml(text)
    assert found == number or (number != number and found != found)


@settings(deadline=None, max_examples=200)
@given(st.text("0123456789_:.+-xXoObeE", min_size=1, max_size=8))
def test_number_like_text_is_never_read_as_another_number(text):
    try:
        found = parse_yaml(f"[{text!r}]".replace("'", ""))
    except yaml.YAMLError:
        return
    for value in found:
        if isinstance(value, int | float):
            assert value == float(text)
