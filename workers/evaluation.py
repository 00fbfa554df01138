"""Pixel counts of a model over images, and the raw outputs that a report shows."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from workers.contract import Prediction
from workers.metrics.counts import count_pixels
from workers.models.output import output_of
from workers.task import Task


class NonFiniteOutputError(Exception):
    """The network's output is NaN or infinite somewhere, so it cannot be scored."""


def count_images(model: nn.Module, task: Task, indices: Tensor) -> np.ndarray:
    """Counts TP, FP, FN, TN of each image in evaluation mode, with one copy to the host.

    Args:
        model: Network that returns a `SegmentationOutput`.
        task: The prepared images.
        indices: Images to evaluate, int64, on the device.

    Returns:
        int64 array (len(indices), 4).

    Raises:
        NonFiniteOutputError: A logit is NaN or infinite. A threshold would read NaN as background,
            and the image would score 0, or 1 if its mask is empty.
    """
    model.eval()
    counts, broken = [], []
    with torch.inference_mode():
        for batch in indices.split(task.batch_size):
            images_BCHW, target_BHW = task.batch(batch)
            with task.autocast():
                logits_BCHW = output_of(model, images_BCHW).logits_BCHW
            counts.append(count_pixels(logits_BCHW.float(), target_BHW))
            broken.append(~torch.isfinite(logits_BCHW).flatten(1).all(dim=1))
    # Beside the counts, so that the host waits for the device once.
    found = torch.cat([torch.cat(counts), torch.cat(broken)[:, None].long()], dim=1).cpu().numpy()
    number = int(found[:, 4].sum())
    if number:
        msg = f"the network's output became NaN or infinite on {number} of {len(found)} images"
        raise NonFiniteOutputError(msg)
    return found[:, :4]


def sigmoid_note(model: nn.Module, task: Task, label: str) -> str | None:
    """Returns a note if the outputs for a batch of validation images all lie between 0 and 1.

    The model then probably ends with a sigmoid. Read as logits, nearly all outputs mean lesion.

    Args:
        model: The trained network.
        task: The prepared images.
        label: Label of the model, for the note.
    """
    model.eval()
    indices = task.indices(task.split.val)[: task.batch_size]
    with torch.inference_mode(), task.autocast():
        logits_BCHW = output_of(model, task.batch(indices)[0]).logits_BCHW
        low, high = (value.item() for value in torch.aminmax(logits_BCHW.float()))
    if not (low >= 0 and high <= 1):
        return None
    return (
        f"model {label!r}: all outputs for {len(indices)} validation images lie "
        "between 0 and 1, as if they had gone through a sigmoid. Podium reads them as logits: a "
        "pixel counts as lesion if its output is above 0. If the model ends with a sigmoid, "
        "remove it"
    )


def choose_examples(masks_NHW: np.ndarray, indices: np.ndarray, number: int) -> np.ndarray:
    """Returns the test images whose lesion area is nearest the median; the same for every loss."""
    if number <= 0:
        return indices[:0]
    areas = masks_NHW[indices].reshape(len(indices), -1).sum(axis=1, dtype=np.int64)
    lesions = areas > 0
    candidates, areas = (indices[lesions], areas[lesions]) if lesions.any() else (indices, areas)
    order = np.argsort(np.abs(areas - np.median(areas)), kind="stable")
    return np.sort(candidates[order[:number]])


def predict_examples(model: nn.Module, task: Task, indices: np.ndarray) -> tuple[Prediction, ...]:
    """Returns the raw output for a few images, one channel."""
    model.eval()
    found = []
    for index in indices.tolist():
        with torch.inference_mode(), task.autocast():
            images_BCHW, _ = task.batch(torch.tensor([index], device=task.device))
            logits_HW = output_of(model, images_BCHW).logits_BCHW[0, 0].float().cpu().numpy()
        found.append(
            keep_prediction(
                task.names[index], task.source_images[index], task.source_masks[index], logits_HW
            )
        )
    return tuple(found)


def keep_prediction(
    name: str, image_HWC: np.ndarray, mask_HW: np.ndarray, logits_HW: np.ndarray
) -> Prediction:
    """Returns one image and the output of a model for it, packed.

    The raw output becomes a grey image of 8 bits. One outlier makes its levels coarse (a range
    of 600 gives steps of 2.4), which would move pixels over a threshold. Therefore the mean and
    both binarised images are stored separately (Jang and Ahn 2025, figure 3).

    Args:
        name: Name of the image.
        image_HWC: uint8.
        mask_HW: uint8 in {0, 1}.
        logits_HW: float32, finite.
    """
    low, high = float(logits_HW.min()), float(logits_HW.max())
    mean = logits_HW.mean(dtype=np.float64)
    grey_HW = np.round((logits_HW - low) / max(high - low, 1e-12) * 255).astype(np.uint8)
    return Prediction(
        image=name,
        image_jpeg=_encode(Image.fromarray(image_HWC), "JPEG"),
        truth_png=_encode_mask(mask_HW > 0),
        logits_png=_encode(Image.fromarray(grey_HW), "PNG"),
        logit_min=low,
        logit_max=high,
        logit_mean=float(mean),
        mask_png=_encode_mask(logits_HW > 0),
        mean_mask_png=_encode_mask(logits_HW > mean),
    )


def _encode_mask(mask_HW: np.ndarray) -> bytes:
    return _encode(Image.fromarray(mask_HW), "PNG")


def _encode(image: Image.Image, file_format: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, quality=88, optimize=True)
    return buffer.getvalue()
