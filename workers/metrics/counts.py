"""Pixels of every image by truth and prediction, counted on the device."""

from __future__ import annotations

import torch
from torch import Tensor


def count_pixels(logits_BCHW: Tensor, target_BHW: Tensor) -> Tensor:
    """Returns counts_B4 = [tp, fp, fn, tn] of every image, int64, without a wait for the device.

    A pixel is predicted as lesion where sigmoid(logit) > 0.5, that is logit > 0: a tie, logit 0,
    is background, and so is NaN. A pixel of the target is lesion above 0.5.

    Args:
        logits_BCHW: Raw outputs with one channel, any floating type.
        target_BHW: Truth, (B, H, W) or (B, 1, H, W), bool, integer or floating.

    Raises:
        ValueError: Shapes do not fit.
    """
    shapes = f"logits have shape {tuple(logits_BCHW.shape)}, target {tuple(target_BHW.shape)}"
    if logits_BCHW.ndim != 4 or logits_BCHW.shape[1] != 1:
        msg = f"{shapes}; expected logits (B, 1, H, W)"
        raise ValueError(msg)
    num_images, _, height, width = logits_BCHW.shape
    if target_BHW.shape not in {(num_images, height, width), (num_images, 1, height, width)}:
        msg = f"{shapes}; expected target {(num_images, height, width)}"
        raise ValueError(msg)
    predicted_BP = logits_BCHW.flatten(1) > 0
    true_BP = target_BHW.flatten(1) > 0.5
    tp_B = (predicted_BP & true_BP).sum(1)
    fp_B = predicted_BP.sum(1) - tp_B
    fn_B = true_BP.sum(1) - tp_B
    tn_B = height * width - tp_B - fp_B - fn_B
    return torch.stack((tp_B, fp_B, fn_B, tn_B), dim=1)
