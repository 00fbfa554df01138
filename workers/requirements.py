"""What a model asks of a trial, checked before it starts: image size, batch, output weights."""

from __future__ import annotations

from workers.catalogue.encoders import least_image_side
from workers.catalogue.models import min_train_batch, num_supervised
from workers.contract import TrialSpec

BLIND_VALIDATION = "no validation image has a lesion, so that early stopping has nothing to see"
"""Of a repeat: every epoch scores alike, the first one is kept, and patience ends the training."""


def size_problem(spec: TrialSpec) -> str | None:
    """Says why a trial's images are too small for its model; None if they are not."""
    architecture = spec.model.parameters.get("architecture")
    least = least_image_side(str(architecture)) if architecture else 0
    if spec.data.image_size >= least:
        return None
    return (
        f"model {spec.model.label!r} takes images of at least {least} pixels; raise "
        f"data.image_size from {spec.data.image_size}, or use another architecture"
    )


def batch_problem(spec: TrialSpec, num_train_images: int) -> str | None:
    """Says why no training step of a trial would have enough images; None if all is well."""
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
    """Says how many images of an epoch's last batch are not trained on; None if none are."""
    least = min_train_batch(spec.model.name, spec.model.parameters, spec.data.image_size)
    rest = num_train_images % spec.training.batch_size
    if rest == 0 or rest >= least:
        return None
    return (
        f"the last batch of an epoch, {rest} of {num_train_images} training images, another one "
        f"every time, is left out: the model needs {least} images in a step"
    )


def supervision_problem(spec: TrialSpec) -> str | None:
    """Says why a list of auxiliary weights does not fit a trial's model; None if it does.

    A model without auxiliary outputs has nothing to weight, so any list fits it.
    """
    weights = spec.training.auxiliary_weight
    number = num_supervised(spec.model.name, spec.model.parameters)
    if not isinstance(weights, tuple) or number in (0, len(weights)):
        return None
    return (
        f"training.auxiliary_weight has {len(weights)} weights, and model {spec.model.label!r} "
        f"trains {number} outputs beside the prediction: give {number} weights, or one for all"
    )
