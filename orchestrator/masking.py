"""Secrets that no message, row or log may show: those of the environment and those in URIs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from urllib.parse import quote

from orchestrator.address import hide_credentials

MASK = "***"

_NAMES = re.compile(r"SECRET|TOKEN|PASSW|API_?KEY|ACCESS_KEY|PRIVATE_KEY")
"""Environment variables whose values are secrets."""
_NO_SECRETS = re.compile(r"(_PATH|_FILE|_DIR|_URL|_URI|_ENDPOINT)$")
_OF_STORES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_MIN_LENGTH = 8
"""Shorter values of other variables are switches, such as `HF_HUB_DISABLE_IMPLICIT_TOKEN=1`."""


def mask(text: str, public: str = "") -> str:
    """Returns a text with `***` in the place of every secret.

    A secret is masked where it stands as a whole word and does not begin a URI: a server for tests
    whose key is `test` makes neither a bucket `test-sweeps` nor `s3://test` unreadable.

    Args:
        text: Whatever a library said.
        public: What the message shows anyway, such as the place of the results; its words stay.
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
