"""`podium list`: the names that a configuration can use."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import typer

from orchestrator.cli.shared import JsonOption, print_json, print_line, print_table

if TYPE_CHECKING:
    from workers.catalogue import Options
    from workers.catalogue.datasets import DatasetEntry
    from workers.catalogue.losses import LossEntry
    from workers.catalogue.models import ModelEntry, Variant
    from workers.catalogue.weights import Weights
    from workers.contract import JSONValue

app = typer.Typer(no_args_is_help=True, help="The names that a configuration can use.")


def _defaults(options: type[Options]) -> dict[str, object]:
    return options().model_dump(mode="json")


def _shown(parameters: dict[str, object]) -> str:
    return ", ".join(f"{key}={value}" for key, value in parameters.items())


@app.command("models")
def list_models(as_json: JsonOption = False) -> None:
    """The architectures, with parameters, multiply-adds at 224 px and citation."""
    from workers.catalogue.models import MODELS

    if as_json:
        print_json([_model_facts(entry) for entry in MODELS.values()])
        return
    for entry in MODELS.values():
        _print_model(entry)
    print_line("A model of your own in one file: podium new model NAME writes it.")


def _model_facts(entry: ModelEntry) -> dict[str, object]:
    from workers.catalogue.models import MODELS, complete_model, min_train_batch

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
    """Returns the weights of the default form and of each variant with different weights."""
    from workers.catalogue.models import complete_model, weights_of

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
    from workers.catalogue.encoders import LEAST_IMAGE_SIDE
    from workers.catalogue.models import MODELS, complete_model, min_train_batch

    complete = complete_model(entry.name, {})[1]
    side = entry.least_image_side(complete)
    needs = {size: min_train_batch(entry.name, complete, size) for size in (32, 224)}
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
        ("image", f"sides of at least {side} pixels" if side > LEAST_IMAGE_SIDE else ""),
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
    print_line("\n".join([head, *(f"  {key}: {value}" for key, value in facts if value)]))


@app.command("losses")
def list_losses(as_json: JsonOption = False) -> None:
    """The losses; any sum such as iou+focal is also a loss."""
    from workers.catalogue.losses import LOSSES, STUDY_LOSSES, complete_loss, loss_title

    rows = [
        {
            "name": name,
            "title": loss_title(name),
            "kind": LOSSES[name].kind if name in LOSSES else "compound",
            "options": complete_loss(name, {})[1],
            **_loss_facts(LOSSES.get(name)),
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
    print_line("Any other sum is a loss too: x+y, with the option weights.")
    print_line("A loss of your own in one file: podium new loss NAME writes it.")


def _loss_facts(entry: LossEntry | None) -> dict[str, str | None]:
    """Returns what an entry states; None for all of it if the loss is a sum."""
    keys = ("citation", "formula", "edges", "one_channel", "partner")
    return {key: getattr(entry, key, None) or None for key in keys}


@app.command("datasets")
def list_datasets(as_json: JsonOption = False) -> None:
    """The datasets, with counts, licence, citation and archive names."""
    from workers.catalogue.datasets import DATASETS

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
    from workers.catalogue.datasets import DATASETS

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
