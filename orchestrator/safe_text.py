"""Makes text from results harmless: for terminals and spreadsheets, and without secrets.

Labels, messages, tracebacks and host names come from other machines and from results of other
people. All code that prints such text to a terminal or writes it to a CSV file uses this module.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable, Iterator
from typing import IO
from urllib.parse import quote

from orchestrator.address import hide_credentials

_COLOURS = re.compile(r"\x1b\[[0-9;:]*m")
# Control characters, marks of text direction, invisible characters and lone surrogates.
_ACTIVE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_NUMBER = re.compile(r"[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?)?", re.IGNORECASE)


def clean(text: str) -> str:
    r"""Returns text without effect on a terminal: without colours, with `\x1b` spelt out."""
    plain = _COLOURS.sub("", text).replace("\r\n", "\n")
    return _ACTIVE.sub(lambda found: _spelt(found[0]), plain)


def clean_json(document: str) -> str:
    """Returns the same JSON document with terminal commands in its strings escaped."""
    return _ACTIVE.sub(lambda found: "".join(map(_json_escape, _utf16(found[0]))), document)


class CsvWriter:
    """Writes CSV in which no text is a formula, by putting a `'` before such text.

    Spreadsheets run text that begins with =, +, -, @, a tab or a line break. Numbers are unchanged.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._writer = csv.writer(stream, lineterminator="\n")

    def writerow(self, cells: Iterable[object]) -> None:
        """Writes one line."""
        self._writer.writerow([_cell(cell) for cell in cells])

    def writerows(self, rows: Iterable[Iterable[object]]) -> None:
        """Writes a line for each row."""
        for row in rows:
            self.writerow(row)


def _cell(value: object) -> object:
    is_formula = isinstance(value, str) and value.lstrip(" ").startswith(_FORMULA)
    return f"'{value}" if is_formula and not _NUMBER.fullmatch(str(value)) else value


def _spelt(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _utf16(character: str) -> list[int]:
    data = character.encode("utf-16-be", "surrogatepass")
    return [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]


def _json_escape(unit: int) -> str:
    return f"\\u{unit:04x}"


MASK = "***"

_NAMES = re.compile(r"SECRET|TOKEN|PASSW|API_?KEY|ACCESS_KEY|PRIVATE_KEY")
"""Environment variables whose values are secrets."""
_NO_SECRETS = re.compile(r"(_PATH|_FILE|_DIR|_URL|_URI|_ENDPOINT)$")
_OF_STORES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_MIN_LENGTH = 8
"""Shorter values of other variables are switches, such as `HF_HUB_DISABLE_IMPLICIT_TOKEN=1`."""


def mask(text: str, public: str = "") -> str:
    """Returns a text in which `***` replaces every secret.

    A secret is masked if it is a whole word that does not begin a URI. If the key of a test server
    is `test`, the bucket `test-sweeps` and `s3://test` therefore stay readable.

    Args:
        text: Text, such as an error message of a library.
        public: Public text of the message, such as the location; its words are not masked.
    """
    text = hide_credentials(text)
    for secret in sorted(set(_secrets()), key=len, reverse=True):
        word = rf"(?<![\w-])(?<!\w\.){re.escape(secret)}(?![\w-]|\.\w)"
        if not re.search(word, public):
            text = re.sub(f"(?<!://){word}", MASK, text)
    return text


def _secrets() -> Iterator[str]:
    for name, value in os.environ.items():
        other = _NAMES.search(name) and not _NO_SECRETS.search(name)
        if (name in _OF_STORES and value) or (other and len(value) >= _MIN_LENGTH):
            yield value
            yield quote(value, safe="")
