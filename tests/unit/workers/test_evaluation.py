"""Raw outputs kept for the report: what was binarised stays exact, whatever the grey levels do."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from workers.evaluation import keep_prediction


def decoded(data):
    return np.asarray(Image.open(io.BytesIO(data)))


def keep(logits):
    size = logits.shape
    image, mask = np.zeros((*size, 3), np.uint8), np.zeros(size, np.uint8)
    mask[0] = 1
    return keep_prediction("a.png", image, mask, logits)


def test_masks_and_mean_by_hand():
    # The mean is 1; one pixel lies between the two thresholds, and two are over both.
    kept = keep(np.array([[-4.0, 0.5], [2.5, 5.0]], np.float32))
    assert (kept.logit_min, kept.logit_max, kept.logit_mean) == (-4.0, 5.0, 1.0)
    assert decoded(kept.truth_png).tolist() == [[True, True], [False, False]]
    assert decoded(kept.mask_png).tolist() == [[False, True], [True, True]]
    assert decoded(kept.mean_mask_png).tolist() == [[False, False], [True, True]]
    assert decoded(kept.logits_png).tolist() == [[0, round(4.5 / 9 * 255)], [184, 255]]


def test_outlier_coarsens_grey_levels_but_not_masks():
    logits = np.tile(np.array([-0.4, 0.4], np.float32), (8, 4))
    logits[0, 0] = 600
    kept = keep(logits)
    step = (kept.logit_max - kept.logit_min) / 255
    grey = kept.logit_min + step * decoded(kept.logits_png)
    assert not np.array_equal(grey > 0, logits > 0)  # why the masks are kept
    assert np.array_equal(decoded(kept.mask_png), logits > 0)
    assert np.array_equal(decoded(kept.mean_mask_png), logits > logits.mean(dtype=float))


@given(
    arrays.arrays(
        np.float32, (6, 5), elements=st.integers(-4000, 4000).map(lambda eighths: eighths / 8)
    )
)
def test_grey_levels_are_half_a_step_from_the_raw_output(logits):
    kept = keep(logits)
    step = (kept.logit_max - kept.logit_min) / 255
    grey = kept.logit_min + step * decoded(kept.logits_png).astype(float)
    assert np.abs(grey - logits).max() <= step / 2 * (1 + 1e-3) + 1e-6
    assert np.array_equal(decoded(kept.mask_png), 1 / (1 + np.exp(-logits.astype(float))) > 0.5)
    assert kept.logit_mean == pytest.approx(logits.astype(float).mean(), abs=1e-9)


def test_mean_mask_of_a_constant_output_is_empty():
    kept = keep(np.full((4, 4), 0.3, np.float32))
    assert decoded(kept.mask_png).all()
    assert not decoded(kept.mean_mask_png).any()


def test_prediction_takes_a_few_kilobytes():
    y, x = np.mgrid[0:224, 0:224] / 224 - 0.5
    logits = (8 * (0.3 - np.hypot(x, y))).astype(np.float32)
    kept = keep(logits)
    sizes = [len(kept.mask_png), len(kept.mean_mask_png), len(kept.truth_png)]
    assert max(sizes) < 1500
    assert len(kept.logits_png) < 20_000
