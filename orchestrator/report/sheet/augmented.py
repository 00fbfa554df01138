"""Training images as the augmentation of a configuration changes them, for a contact sheet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from orchestrator.config import SweepConfig
from orchestrator.report.sheet.samples import DatasetSheet, Picture, Tile
from orchestrator.wording import count_text
from workers.contract import UserError
from workers.datasets.cache import prepare_pair
from workers.datasets.dataset import Dataset
from workers.datasets.survey import Survey

NUM_DRAWS = 8
"""Draws of each image: those of the first epochs of the first repeat."""


def augmented_sheets(
    surveys: Mapping[str, Survey], config: SweepConfig, num_samples: int
) -> list[DatasetSheet]:
    """Returns a sheet for each dataset: some images, each with its first draws.

    Args:
        surveys: By label.
        config: Its augmentation, seed and image size count.
        num_samples: Images of each dataset at most, evenly spaced.

    Raises:
        UserError: The configuration has no augmentation.
    """
    names = [str(operation["name"]) for operation in config.training.augmentation]
    if not names:
        msg = (
            f"{config.source}: training.augmentation is none, so there is nothing to show; set it, "
            "for example to geometric"
        )
        raise UserError(msg)
    facts = (
        f"augmentation: {', '.join(names)}",
        f"each image, then as training sees it in epochs 1 to {NUM_DRAWS} of the first repeat, "
        f"at {config.data.image_size} px; all losses see the same",
    )
    sheets = []
    for label, found in surveys.items():
        tiles = tuple(_tiles(found.dataset, config, num_samples)) if found.dataset else ()
        sheets.append(
            DatasetSheet(
                title=label,
                facts=(count_text(found.num_pairs, "pair"), *facts),
                refusals=found.refusals,
                notes=(),
                tiles=tiles,
                num_known=len(tiles),
                num_odd=0,
            )
        )
    return sheets


def _tiles(dataset: Dataset, config: SweepConfig, num_samples: int) -> Iterable[Tile]:
    from workers.augmentation import draw_examples

    size = len(dataset.samples)
    chosen = np.linspace(0, size - 1, min(num_samples, size)).round().astype(int).tolist()
    for number in chosen:
        image, mask = prepare_pair(dataset, number, config.data.image_size, config.data.mask_resize)
        draws = draw_examples(
            image,
            mask,
            number,
            operations=config.training.augmentation,
            num_images=size,
            seed=config.seed,
            epochs=range(1, NUM_DRAWS + 1),
        )
        name = dataset.samples[number].name
        yield _tile(name, image, mask)
        for epoch, drawn in enumerate(draws, start=1):
            yield _tile(f"epoch {epoch}", *drawn)


def _tile(caption: str, image: np.ndarray, mask: np.ndarray) -> Tile:
    return Tile(notes=(), pictures=(Picture(caption=caption, pixels=image, lesion=mask > 0),))
