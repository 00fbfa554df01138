"""Relations of the images of one dataset: which of them show the same thing.

Two images are *siblings* if they are equal pictures, near duplicates, or in one group of the layout
(frames of one video sequence).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.contract import SIMILAR_RULE, DataProtocol, SiblingKind, SpecificationError
from workers.datasets.likeness.hashing import NUM_BITS, classes, label_pairs, near_pairs


@dataclass(frozen=True, kw_only=True)
class ImageRelations:
    """How the N images of a dataset are related, in the order of its samples.

    Attributes:
        layout: Group of each image by the layout, or a unique name if it has none.
        equal: (N,) number of the first image with an equal picture.
        hashes: (N, 4) perceptual hashes; None for generated images, which are drawn independently.
    """

    layout: tuple[str, ...]
    equal: NDArray[np.int64]
    hashes: NDArray[np.uint64] | None

    def groups(self, data: DataProtocol) -> tuple[str, ...]:
        """Returns the group of each image; a split never divides a group.

        With `split_unit: similar` near duplicates are joined too; otherwise the groups are those
        of `group`.

        Raises:
            SpecificationError: Another version of Podium defined the near duplicates.
        """
        numbers = np.arange(len(self.layout))
        pairs = [label_pairs(self.layout), np.stack([self.equal, numbers], axis=1)]
        if data.split_unit == "similar":
            if data.similar_rule != SIMILAR_RULE:
                msg = (
                    f"data.split_unit: similar: the trial needs near duplicates by rule "
                    f"{data.similar_rule}, but this version of Podium uses rule {SIMILAR_RULE}; "
                    "use the version that planned the trial"
                )
                raise SpecificationError(msg)
            pairs.append(self.near(data.similar_distance)[:, :2])
        first = classes(len(self.layout), np.concatenate(pairs))
        return tuple(self.layout[i] for i in first)

    def near(self, distance: int) -> NDArray[np.int64]:
        """Returns the near duplicates (M, 3): two numbers and how many bits differ."""
        if self.hashes is None:
            return np.zeros((0, 3), dtype=np.int64)
        return near_pairs(self.hashes, distance)

    def in_train(
        self, train: NDArray[np.int64], test: NDArray[np.int64], distance: int
    ) -> tuple[SiblingKind, ...]:
        """Returns for each test image its nearest relation to a training image."""
        kinds: dict[int, SiblingKind] = {}
        groups = {self.layout[i] for i in train}
        kinds |= {i: "group" for i in test.tolist() if self.layout[i] in groups}
        if self.hashes is not None:
            near = near_pairs(self.hashes[test], distance, self.hashes[train])
            kinds |= dict.fromkeys(test[np.unique(near[:, 0])].tolist(), "similar")
        same = np.isin(self.equal[test], self.equal[train])
        kinds |= dict.fromkeys(test[same].tolist(), "equal")
        return tuple(kinds.get(i, "none") for i in test.tolist())

    def to_json(self) -> dict[str, Any]:
        """Returns the relations as plain JSON values."""
        return {
            "layout": list(self.layout),
            "equal": self.equal.tolist(),
            "hashes": None if self.hashes is None else self.hashes.tobytes().hex(),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> ImageRelations:
        """Rebuilds the relations from `to_json`.

        Raises:
            ValueError: The document has another form; likewise KeyError and TypeError.
        """
        layout, text = tuple(document["layout"]), document["hashes"]
        equal = np.asarray(document["equal"], dtype=np.int64)
        hashes = None
        if text is not None:
            hashes = np.frombuffer(bytes.fromhex(text), np.uint64).reshape(-1, NUM_BITS // 64)
        if not len(equal) == len(layout) == len(equal if hashes is None else hashes):
            msg = f"{len(layout)} groups for {len(equal)} pictures"
            raise ValueError(msg)
        return cls(layout=layout, equal=equal, hashes=hashes)


def unrelated(layout: tuple[str, ...]) -> ImageRelations:
    """Returns the relations of images that are related only by their layout."""
    return ImageRelations(layout=layout, equal=np.arange(len(layout)), hashes=None)
