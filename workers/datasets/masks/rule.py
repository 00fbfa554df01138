"""The rule that says which pixels of a dataset's masks are lesion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.contract import JSONValue
from workers.datasets.files.rasters import Raster
from workers.datasets.masks.facts import Channel, Value, codes, levels


@dataclass(frozen=True, kw_only=True)
class MaskRule:
    """Which pixels of a dataset's masks are lesion.

    At most one of `lesion` and `above` is set. With neither, levels above half of the file's full
    scale are lesion.

    Attributes:
        sentence: The rule for people, "lesion = above 127 of 255".
        channel: Channel that decides; with colours in `lesion` the whole colour decides.
        lesion: Values or colours ("#rrggbb") that are lesion.
        above: Levels above this are lesion.
        inverted: The other pixels are lesion.
    """

    sentence: str
    channel: Channel = "brightest"
    lesion: tuple[Value, ...] | None = None
    above: float | None = None
    inverted: bool = False

    @property
    def by_colour(self) -> bool:
        """Whether `lesion` holds colours."""
        return self.lesion is not None and isinstance(self.lesion[0], str)

    def is_lesion(self, value: Value, full_scale: int | None, *, is_bit: bool = False) -> bool:
        """Returns whether one value of the deciding table is lesion.

        Args:
            value: A level, an index or a colour.
            full_scale: Full scale of the file.
            is_bit: Whether the mask has one bit: then white is the marked value.
        """
        return self._is_marked(value, full_scale, is_bit) != self.inverted

    def _is_marked(self, value: Value, full_scale: int | None, is_bit: bool) -> bool:
        if is_bit and not self.by_colour:
            return any(bool(one) == bool(value) for one in self.lesion or (255,))
        if self.lesion is not None:
            return value in self.lesion
        if isinstance(value, str):
            return False
        if self.above is not None:
            return value > self.above
        return full_scale is not None and value > full_scale // 2

    def foreground(self, raster: Raster) -> NDArray[np.bool_]:
        """Returns (H, W), True where a page is lesion."""
        marked = self._marked(raster)
        return ~marked if self.inverted else marked

    def _marked(self, raster: Raster) -> NDArray[np.bool_]:
        if self.by_colour:
            wanted = [int(str(colour)[1:], 16) for colour in self.lesion or ()]
            return np.isin(codes(raster), wanted)
        if raster.pixels.dtype == np.bool_ and raster.palette is None:
            white, black = (self._is_marked(value, 255, True) for value in (255, 0))
            return np.where(raster.pixels, white, black)
        found = levels(raster, self.channel)
        if self.lesion is not None:
            return np.isin(found, [value for value in self.lesion if not isinstance(value, str)])
        half = np.iinfo(found.dtype).max // 2 if found.dtype.kind == "u" else 0
        return np.asarray(found > (half if self.above is None else self.above))

    def key(self) -> JSONValue:
        """Returns the part of the rule that a dataset's fingerprint contains."""
        lesion: list[JSONValue] | None = None if self.lesion is None else list(self.lesion)
        inverted: dict[str, JSONValue] = {"inverted": True} if self.inverted else {}
        return {"channel": self.channel, "lesion": lesion, "above": self.above} | inverted
