"""Turns a template into a page: escaping, formats of numbers, scripts and their policy."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from orchestrator import wording
from orchestrator.report.palette import LINE_COLOURS, LINE_COLOURS_ON_DARK, line_styles
from workers.contract import JSONValue

# Inside <script> only these could end the element or the line; JSON reads their escapes back.
_ESCAPES = {ord(letter): f"\\u{ord(letter):04x}" for letter in "<>&\u2028\u2029"}


def embedded_json(document: JSONValue) -> Markup:
    """Returns JSON that may stand in a script element; keys keep their order."""
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.translate(_ESCAPES))


def content_policy(scripts: Sequence[str]) -> str:
    """Returns a Content-Security-Policy under which exactly these scripts run.

    The browser executes no other script, such as one in a name, and loads nothing.

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


def render(
    template: str, *, losses: Iterable[str], scripts: Sequence[str], **values: object
) -> str:
    """Returns a page as HTML text; every value is escaped unless it is marked as HTML.

    Args:
        template: A file of the folder templates.
        losses: Labels in the order that decides their colours and dashes.
        scripts: Files of the same folder, joined to one script in this order.
        values: What the template shows.
    """
    environment = _environment()
    script = "".join(_source(environment, name) for name in scripts)
    return environment.get_template(template).render(
        values
        | {
            "scripts": [Markup(script)] if script else [],
            "policy": Markup(content_policy([script] if script else [])),
            "styles": line_styles(tuple(losses)),
            "line_colours": LINE_COLOURS,
            "line_colours_on_dark": LINE_COLOURS_ON_DARK,
        }
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("orchestrator.report", "templates"),
        autoescape=select_autoescape(["html", "j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(_FILTERS)
    return environment


def _source(environment: Environment, name: str) -> str:
    loader = environment.loader
    assert loader is not None
    return loader.get_source(environment, name)[0]


_FILTERS = {
    "points": wording.points_text,
    "decimal": wording.decimal_text,
    "metric_title": wording.metric_title,
    "count": wording.count_text,
    "count_of": wording.count_of_text,
    "mean_count": wording.mean_count_text,
    "listed": wording.list_text,
    "probability": wording.probability_text,
    "percent": wording.percent_text,
    "signed": wording.signed_text,
    "interval": wording.interval_text,
    "signs": wording.signs_text,
    "parameter": wording.parameter_text,
    "number": wording.number_text,
    "plain": wording.plain_text,
    "p_value": wording.p_value_text,
    "p_equation": wording.p_equation_text,
    "hours": wording.hours_text,
    "duration": wording.duration_text,
    "bytes": wording.bytes_text,
    "nobreak": lambda text: text.replace(" %", "\u00a0%"),
}
