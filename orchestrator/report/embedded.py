"""Data and scripts inside a page: no name in them can end the element or run."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence

from markupsafe import Markup

from workers.contract import JSONValue

# Inside <script> only these could end the element or the line; JSON reads their escapes back.
_ESCAPES = {ord(letter): f"\\u{ord(letter):04x}" for letter in "<>&\u2028\u2029"}


def embedded_json(document: JSONValue) -> Markup:
    """Returns JSON that may stand in a script element; keys keep their order."""
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.translate(_ESCAPES))


def content_policy(scripts: Sequence[str]) -> str:
    """Returns a Content-Security-Policy under which exactly these scripts run.

    Whatever else might get into the page, by a name or by hand, is not executed, and nothing is
    loaded.

    Args:
        scripts: The contents of the script elements, to the byte.
    """
    hashes = " ".join(f"'sha256-{_digest(script)}'" for script in scripts) or "'none'"
    return (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src {hashes}; base-uri 'none'; form-action 'none'"
    )


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
