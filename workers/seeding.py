"""Random streams that depend on (seed, purpose, repeat) and never on the loss."""

from __future__ import annotations

import hashlib


def derive_seed(seed: int, purpose: str, repeat: int, *more: int | str) -> int:
    """Returns a 63-bit seed for one purpose, such as `split`, `order`, `weights` or `training`.

    All losses of one (dataset, model, repeat) thereby see the same split, the same order and the
    same initial weights, so that comparisons between losses are paired.
    """
    text = "/".join(str(part) for part in (seed, purpose, repeat, *more))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
