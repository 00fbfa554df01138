"""What the survey of each dataset said before its trials ran, as the grid document keeps it."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.ranking.protocols import changed_code
from orchestrator.report.data import Sweep, column
from orchestrator.wording import sentence_text


def surveyed(sweep: Sweep, label: str) -> tuple[str, ...]:
    """Returns what a mask of a dataset means, and the notes on its files, as sentences."""
    survey = _surveys(sweep).get(label, {})
    notes = [str(note.get("sentence", "")) for note in _notes(survey)]
    return tuple(sentence_text(text) for text in (str(survey.get("masks") or ""), *notes) if text)


def answer_notes(sweep: Sweep) -> tuple[str, ...]:
    """Returns what makes the numbers those of other data or other code than the names say."""
    incomplete = [
        f"Dataset {sweep.title('dataset', label)}: {note.get('sentence')}."
        for label, survey in _surveys(sweep).items()
        for note in _notes(survey)
        if note.get("kind") == "incomplete"
    ]
    changed = changed_code(column(sweep.trials, "versions").dropna())
    return (*incomplete, *map(sentence_text, changed))


def _surveys(sweep: Sweep) -> dict[str, Mapping[str, object]]:
    found = (sweep.document or {}).get("data")
    known = found if isinstance(found, Mapping) else {}
    return {
        str(label): survey
        for label in sweep.grid.datasets
        if isinstance(survey := known.get(label), Mapping)
    }


def _notes(survey: Mapping[str, object]) -> list[Mapping[str, object]]:
    found = survey.get("notes")
    return [note for note in found if isinstance(note, Mapping)] if isinstance(found, list) else []
