"""`podium list` and `podium data`: what a configuration can name, and what is on disk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.cli.output import console, print_json, print_table, shown_looks
from workers.catalogue import Options
from workers.catalogue.datasets import DATASETS, DatasetEntry
from workers.catalogue.losses import LOSSES, STUDY_LOSSES, complete_loss, loss_title
from workers.catalogue.models import (
    MODELS,
    ModelEntry,
    Variant,
    complete_model,
    min_train_batch,
    weights_of,
)
from workers.catalogue.weights import Weights
from workers.contract import DEFAULT_CACHE, JSONValue, UserError
from workers.datasets.findings import NUM_NAMES

if TYPE_CHECKING:
    from workers.datasets.survey import Survey


def _defaults(options: type[Options]) -> dict[str, object]:
    return options().model_dump(mode="json")


def _shown(parameters: dict[str, object]) -> str:
    return ", ".join(f"{key}={value}" for key, value in parameters.items())


def list_models_command(as_json: bool) -> None:
    """Prints the table of models."""
    if as_json:
        print_json([_model_facts(entry) for entry in MODELS.values()])
        return
    for entry in MODELS.values():
        _print_model(entry)


def _model_facts(entry: ModelEntry) -> dict[str, object]:
    complete = complete_model(entry.name, {})[1]
    return {
        "name": entry.name,
        "title": entry.title,
        "parameters": entry.parameters,
        "gmacs_224": entry.gmacs_224,
        "options": _defaults(entry.options),
        "variants": [{"options": dict(item.options), **_sizes(item)} for item in entry.variants],
        "min_train_batch": {
            str(side): min_train_batch(entry.name, complete, side) for side in (32, 224)
        },
        "pretrained": [
            {"options": options, "weights": _weights_facts(weights)}
            for options, weights in _weights_by_form(entry)
        ],
        "citation": entry.citation,
        "origin": MODELS.origin(entry.name),
    }


def _sizes(item: ModelEntry | Variant) -> dict[str, object]:
    return {"parameters": item.parameters, "gmacs_224": item.gmacs_224}


def _weights_by_form(
    entry: ModelEntry,
) -> list[tuple[dict[str, JSONValue], tuple[Weights, ...]]]:
    """Returns the weights of the default form and of each variant that has other ones."""
    found: list[tuple[dict[str, JSONValue], tuple[Weights, ...]]] = []
    for options in ({}, *(dict(item.options) for item in entry.variants)):
        weights = weights_of(entry.name, complete_model(entry.name, options)[1])
        if weights and weights not in [known for _, known in found]:
            found.append((options, weights))
    return found


def _weights_facts(weights: tuple[Weights, ...]) -> list[dict[str, object]]:
    return [
        {
            "name": item.name,
            "file": item.file,
            "hub": item.hub,
            "licence": item.licence,
            "normalisation": item.normalisation,
        }
        for item in weights
    ]


def _print_model(entry: ModelEntry) -> None:
    complete = complete_model(entry.name, {})[1]
    needs = {side: min_train_batch(entry.name, complete, side) for side in (32, 224)}
    least = f"at least {needs[224]} images a step" if needs[224] > 1 else ""
    if needs[32] > needs[224]:
        least = f"at least {needs[32]} images a step below {entry.single_image_from} pixels"
    facts = [
        ("size", f"{entry.parameters:,} parameters, {entry.gmacs_224:g} GMAC at 224"),
        ("options", _shown(_defaults(entry.options))),
        *(
            ("variant", f"{_shown(dict(v.options))}: {v.parameters:,}, {v.gmacs_224:g} GMAC")
            for v in entry.variants
        ),
        ("batch", least),
        *(
            (
                "pretrained" + (f" ({_shown(dict(options))})" if options else ""),
                f"{item.name}, input {item.normalisation}, licence: {item.licence}",
            )
            for options, weights in _weights_by_form(entry)
            for item in weights
        ),
        ("citation", entry.citation),
        ("from", MODELS.origin(entry.name)),
    ]
    _print_facts(f"{entry.name}: {entry.title}", facts)


def _print_facts(head: str, facts: Iterable[tuple[str, str | None]]) -> None:
    lines = [head, *(f"  {key}: {value}" for key, value in facts if value)]
    console().print("\n".join(lines), markup=False, soft_wrap=True)


def list_losses_command(as_json: bool) -> None:
    """Prints the losses, and the compound ones of the study, with their parameters."""
    rows = [
        {
            "name": name,
            "title": loss_title(name),
            "kind": LOSSES[name].kind if name in LOSSES else "compound",
            "options": complete_loss(name, {})[1],
            "citation": LOSSES[name].citation if name in LOSSES else None,
            "origin": LOSSES.origin(name),
        }
        for name in dict.fromkeys((*LOSSES, *STUDY_LOSSES))
    ]
    if as_json:
        print_json(rows)
        return
    print_table(
        ["name", "published as", "kind", "options", "from"],
        [
            (r["name"], r["title"], r["kind"], _shown(r["options"]), r["origin"] or "Podium")  # type: ignore[arg-type]
            for r in rows
        ],
    )
    console().print("Any other sum is a loss too: x+y, with the option weights.")


def list_datasets_command(as_json: bool) -> None:
    """Prints the table of datasets."""
    rows = [
        {
            "name": entry.name,
            "title": entry.title,
            "images": entry.num_images,
            "folder": entry.folder,
            "licence": entry.licence,
            "citation": entry.citation,
            "source": entry.source,
            "archives": list(entry.archives),
            "options": _defaults(entry.options),
            "origin": DATASETS.origin(entry.name),
        }
        for entry in DATASETS.values()
    ]
    if as_json:
        print_json(rows)
        return
    for entry in DATASETS.values():
        _print_dataset(entry)


def _print_dataset(entry: DatasetEntry) -> None:
    facts = {
        "images": None if entry.num_images is None else f"{entry.num_images:,}",
        "folder": entry.folder,
        "source": entry.source,
        "archives": ", ".join(entry.archives),
        "licence": entry.licence,
        "citation": entry.citation,
        "options": _shown(_defaults(entry.options)),
        "from": DATASETS.origin(entry.name),
    }
    _print_facts(f"{entry.name}: {entry.title}", facts.items())


def verify_command(target: Path, *, every_name: bool, as_json: bool) -> int:
    """Surveys the datasets under a folder, or those of a configuration.

    Returns:
        1 where a dataset cannot be trained on, else 0.
    """
    with shown_looks():
        surveys = _surveys(target)
    if as_json:
        print_json([survey.to_json() for survey in surveys])
    else:
        for survey in surveys:
            _print_survey(survey, None if every_name else NUM_NAMES)
    return int(not all(survey.is_sound for survey in surveys))


def _surveys(target: Path) -> Sequence[Survey]:
    if target.suffix in (".yaml", ".yml") and target.is_file():
        from orchestrator.sweep import survey_config

        found = survey_config(target, fetch=True)
        if found.absent:
            raise UserError("\n".join(found.absent))
        return tuple(found.surveys.values())
    from workers.datasets.survey import survey_root

    return survey_root(target, Path(DEFAULT_CACHE).expanduser())


def _print_survey(survey: Survey, num_names: int | None) -> None:
    official = "" if survey.num_official is None else f" of {survey.num_official:,} official"
    state = "every pair can be used" if survey.is_sound else "refused: it cannot be trained on"
    lines = [f"{survey.label}: {survey.num_pairs:,}{official} pairs, {state} ({survey.folder})"]
    lines += [f"  {text}" for text in (survey.masks, *survey.remarks) if text]
    lines += [f"  {one.kind.severity}: {one.sentence(num_names)}" for one in survey.findings]
    console().print("\n".join(lines), markup=False, soft_wrap=True)
