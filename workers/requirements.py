"""Requirements of a model or loss, checked before a trial starts: image size, batch, weights."""

from __future__ import annotations

from workers.catalogue.losses import LOSSES
from workers.catalogue.models import MODELS, min_train_batch, num_supervised
from workers.contract import Component, TrialSpec

BLIND_VALIDATION = "no validation image has a lesion, so that early stopping cannot compare epochs"
"""Note on a repeat in which every epoch has the same score, so that the first counts as best."""


def size_problem(spec: TrialSpec) -> str | None:
    """Returns why a trial's images are too small for its model; None if they are not."""
    least = MODELS[spec.model.name].least_image_side(spec.model.parameters)
    if spec.data.image_size >= least:
        return None
    return (
        f"model {spec.model.label!r} takes images of at least {least} pixels; raise "
        f"data.image_size from {spec.data.image_size}, or change the model's options"
    )


def batch_problem(spec: TrialSpec, num_train_images: int) -> str | None:
    """Returns why no training step of a trial has enough images; None if it has."""
    least = min_train_batch(spec.model.name, spec.model.parameters, spec.data.image_size)
    largest = min(num_train_images, spec.training.batch_size)
    if largest >= least:
        return None
    return (
        f"model {spec.model.label!r} needs at least {least} images in a training "
        f"step; dataset {spec.dataset.label!r} with training.batch_size "
        f"{spec.training.batch_size} gives {largest}: raise training.batch_size or "
        f"use more images"
    )


def left_out_note(spec: TrialSpec, num_train_images: int) -> str | None:
    """Returns a note if the last batch of each epoch is too small to train on; otherwise None."""
    least = min_train_batch(spec.model.name, spec.model.parameters, spec.data.image_size)
    rest = num_train_images % spec.training.batch_size
    if rest == 0 or rest >= least:
        return None
    return (
        f"the last batch of each epoch ({rest} of {num_train_images} training images, different "
        f"ones in each epoch) is not trained on: the model needs {least} images in a step"
    )


def alone_note(loss: Component) -> str | None:
    """Returns a note if a loss that does not learn alone is not in a sum; otherwise None."""
    entry = LOSSES.get(loss.name)
    if entry is None or not entry.partner:
        return None
    return (
        f"loss {loss.label!r} does not learn alone: name a sum such as {entry.partner}+{loss.name}"
    )


def supervision_problem(spec: TrialSpec) -> str | None:
    """Returns why a list of auxiliary weights does not fit a trial's model; None if it fits.

    Any list fits a model without auxiliary outputs.
    """
    weights = spec.training.auxiliary_weight
    number = num_supervised(spec.model.name, spec.model.parameters)
    if not isinstance(weights, tuple) or number in (0, len(weights)):
        return None
    return (
        f"training.auxiliary_weight has {len(weights)} weights, and model {spec.model.label!r} "
        f"trains {number} outputs beside the prediction: give {number} weights, or one for all"
    )
