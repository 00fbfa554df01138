"""Facts on mask files, from which the rule of a dataset is decided.

A file is inspected once (`inspect_mask`), before the rule is known: its tables count every level
of the brightest channel, every colour, index and alpha. The rule is decided over all files
(`workers.datasets.masks.decision`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from workers.contract import JSONValue
from workers.datasets.files.pictures import read_header, read_rasters
from workers.datasets.files.rasters import Header, Raster, UnreadableImageError

Channel = Literal["brightest", "alpha", "red", "green", "blue", "index", "numbers"]
"""`numbers`: the index if a palette has colours, otherwise the level."""

Value = int | float | str

MAX_VALUES = 4096
"""Distinct values that a table lists. Of more levels it counts 256 classes of equal width, of more
colours the most frequent."""

MAX_PALETTE = 8
"""Up to this number of colours, a coloured mask has flat areas; more colours come from smooth edges
or compression."""

_CHANNELS: tuple[Channel, ...] = ("red", "green", "blue")
_CORNERS = ([0] * 128 + [255] * 128) * 3


@dataclass(frozen=True, kw_only=True)
class ValueCounts:
    """How often each value occurs in a file.

    Attributes:
        counts: Value and number of pixels, in the order of the values.
        border: Value and number of pixels on the outermost rows and columns.
        grid: Values that remain when the file is reduced to the network's size by nearest
            pixels; None if no size was given.
        exact: Whether every value is listed as it is.
    """

    counts: tuple[tuple[Value, int], ...]
    border: tuple[tuple[Value, int], ...] = ()
    grid: tuple[Value, ...] | None = None
    exact: bool = True

    @property
    def values(self) -> tuple[Value, ...]:
        """The distinct values."""
        return tuple(value for value, _ in self.counts)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> ValueCounts:
        """Rebuilds the counts from `MaskFacts.to_json`."""
        grid = document["grid"]
        return cls(
            counts=tuple((value, count) for value, count in document["counts"]),
            border=tuple((value, count) for value, count in document["border"]),
            grid=None if grid is None else tuple(grid),
            exact=document["exact"],
        )


@dataclass(frozen=True, kw_only=True)
class MaskFacts:
    """Facts on one mask file.

    Attributes:
        header: Size, format, bits, orientation, pages.
        tables: Counts by channel: `brightest` always, `alpha` if there is one, `index` with a
            palette; if channels differ `red`, `green`, `blue`, `colour`, and `corner`: colours with
            each channel cut to 0 or 255.
        flat: Values between background and full scale that cover areas, with the number of
            pixels whose four neighbours have the same value. Smooth edges have none.
        alpha_agrees: Whether alpha and colour show the same shape.
        reason: Why the file cannot be read; None for a readable file.
    """

    header: Header | None
    tables: Mapping[str, ValueCounts] = field(default_factory=dict)
    flat: tuple[tuple[Value, int], ...] = ()
    alpha_agrees: bool = True
    reason: str | None = None

    @property
    def full_scale(self) -> int | None:
        """Largest level of 8 or 16 bits; None for other types. One bit counts as 0 and 255."""
        bits = self.header.bits if self.header else 0
        return 255 if 0 < bits <= 8 else 65535 if bits <= 16 else None

    def to_json(self) -> dict[str, JSONValue]:
        """Returns the facts as plain JSON values."""
        tables = {key: dict(vars(table)) for key, table in self.tables.items()}
        header = None if self.header is None else dict(vars(self.header))
        return dict(vars(self)) | {"header": header, "tables": tables}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> MaskFacts:
        """Rebuilds the facts from `to_json`."""
        header = document["header"]
        return cls(
            header=None if header is None else Header(**header),
            tables={key: ValueCounts.from_json(table) for key, table in document["tables"].items()},
            flat=tuple((value, count) for value, count in document["flat"]),
            alpha_agrees=document["alpha_agrees"],
            reason=document["reason"],
        )


def inspect_mask(
    path: Path, side: int | None = None, keep: Callable[[Path, Raster], None] | None = None
) -> MaskFacts:
    """Returns the facts on a mask file; a file that cannot be read has a reason.

    Args:
        path: The file.
        side: The network's size, to see which values remain there.
        keep: Gets the raster of a mask of one page.
    """
    try:
        header = read_header(path)
        pages = []
        for raster in read_rasters(path):
            pages.append(_page_facts(header, raster, side))
            if keep is not None and header.num_pages == 1:
                keep(path, raster)
    except UnreadableImageError as error:
        return MaskFacts(header=None, reason=error.reason)
    if len(pages) == 1:
        return pages[0]
    return MaskFacts(
        header=header,
        tables={
            key: _joined([page.tables[key] for page in pages if key in page.tables])
            for key in dict.fromkeys(key for page in pages for key in page.tables)
        },
        flat=_summed([page.flat for page in pages]),
        alpha_agrees=all(page.alpha_agrees for page in pages),
    )


def _page_facts(header: Header, raster: Raster, side: int | None) -> MaskFacts:
    small = None if side is None else raster.nearest(side, side)

    def table(channel: Channel) -> ValueCounts:
        reduced = None if small is None else levels(small, channel)
        return _level_table(levels(raster, channel), reduced)

    tables = {"brightest": table("brightest")}
    agrees = True
    if raster.has_alpha:
        tables["alpha"] = table("alpha")
        if len(tables["alpha"].counts) > 1 and len(tables["brightest"].counts) > 1:
            agrees = _same_shape(levels(raster, "brightest"), levels(raster, "alpha"))
    if raster.palette is not None:
        tables["index"] = table("index")
    if (rgb := raster.rgb()) is not None:
        tables["colour"], tables["corner"] = _colour_tables(rgb, small)
        tables |= {channel: table(channel) for channel in _CHANNELS}
    return MaskFacts(
        header=header,
        tables=tables,
        flat=() if header.lossy else _flat(levels(raster), tables["brightest"]),
        alpha_agrees=agrees,
    )


def levels(raster: Raster, channel: Channel = "brightest") -> NDArray[Any]:
    """Returns (H, W): one channel of a page; a pixel of one bit counts as 0 or 255."""
    pixels = raster.pixels
    if channel == "numbers":
        channel = "brightest" if raster.rgb() is None else "index"
    if channel == "index" and raster.palette is not None:
        return pixels
    if raster.palette is not None:
        by_index = levels(Raster(raster.palette[None]), channel)[0]
        return np.asarray(by_index[pixels])
    if pixels.dtype == np.bool_:
        pixels = pixels.view(np.uint8) * np.uint8(255)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    num_colours = 3 if pixels.shape[2] >= 3 else 1
    if channel == "alpha":
        if pixels.shape[2] in (2, 4):
            return np.asarray(pixels[..., -1])
        return np.full(pixels.shape[:2], 255, np.uint8)
    if channel in _CHANNELS and num_colours == 3:
        return np.asarray(pixels[..., _CHANNELS.index(channel)])
    # One channel after the other: `max` along the last axis is thirty times slower.
    brightest = pixels[..., 0]
    for other in range(1, num_colours):
        brightest = np.maximum(brightest, pixels[..., other])
    return np.asarray(brightest)


def _level_table(found: NDArray[Any], reduced: NDArray[Any] | None) -> ValueCounts:
    edges = (found[0], found[-1], found[1:-1, 0], found[1:-1, -1])
    border = np.concatenate([edge.ravel() for edge in edges])
    counts, exact = _counts(found)
    return ValueCounts(
        counts=counts,
        border=_counts(border)[0],
        grid=None if reduced is None else tuple(value for value, _ in _counts(reduced)[0]),
        exact=exact,
    )


def _counts(found: NDArray[Any]) -> tuple[tuple[tuple[Value, int], ...], bool]:
    if found.dtype == np.uint8:
        dark = found.size - int(np.count_nonzero(found))
        full = int(np.count_nonzero(found == 255))
        if dark + full == found.size:  # most masks, and ten times faster than a histogram
            return tuple((v, n) for v, n in ((0, dark), (255, full)) if n), True
        if found.ndim == 2:  # several times faster than numpy
            histogram = Image.fromarray(np.ascontiguousarray(found)).histogram()
        else:
            histogram = np.bincount(found, minlength=256).tolist()
        return tuple((value, count) for value, count in enumerate(histogram) if count), True
    if found.dtype == np.uint16:
        sums = np.bincount(found.ravel(), minlength=65536)
        values = np.nonzero(sums)[0]
        if len(values) <= MAX_VALUES:
            return tuple((int(value), int(sums[value])) for value in values), True
        sums = sums.reshape(256, 256).sum(axis=1)
        return tuple((int(i) << 8, int(sums[i])) for i in np.nonzero(sums)[0]), False
    values, sums = np.unique(found[np.isfinite(found)], return_counts=True)
    if len(values) <= MAX_VALUES and values.size:
        return tuple((_number(v), int(n)) for v, n in zip(values, sums, strict=True)), True
    lowest, highest = (_number(values[0]), _number(values[-1])) if values.size else (0, 0)
    return ((lowest, int(found.size) - 1), (highest, 1)), False


def _number(value: Any) -> int | float:  # noqa: ANN401 - any numpy scalar
    number = float(value)
    return int(number) if number.is_integer() else number


def _colour_tables(rgb: NDArray[np.uint8], small: Raster | None) -> tuple[ValueCounts, ValueCounts]:
    colours = Image.fromarray(rgb)
    exact = colours.getcolors(4096) or []
    most = sorted(exact, reverse=True)[:MAX_VALUES]
    corners = colours.point(_CORNERS).getcolors(8) or []
    edges = (rgb[0], rgb[-1], rgb[1:-1, 0], rgb[1:-1, -1])
    border = Image.fromarray(np.concatenate(edges)[None]).getcolors(4096) or []
    return (
        ValueCounts(
            counts=tuple(sorted((_hex(colour), count) for count, colour in most)),
            border=tuple(sorted((_hex(colour), count) for count, colour in border)),
            grid=None if small is None else tuple(f"#{c:06x}" for c in np.unique(codes(small))),
            exact=0 < len(exact) <= MAX_VALUES,
        ),
        ValueCounts(counts=tuple(sorted((_hex(colour), count) for count, colour in corners))),
    )


def codes(raster: Raster) -> NDArray[np.uint32]:
    """Returns (H, W): 65536 red + 256 green + blue of each pixel, of 16 bits the upper 8."""
    rgb = raster.rgb()
    if rgb is None:
        grey = levels(raster)
        return np.asarray(
            (grey >> 8 if grey.dtype == np.uint16 else grey).astype(np.uint32) * 0x10101
        )
    red, green, blue = (rgb[..., channel].astype(np.uint32) for channel in range(3))
    return np.asarray(red << 16 | green << 8 | blue)


def _hex(colour: Any) -> str:  # noqa: ANN401 - a tuple, as Pillow gives it
    return "#" + "".join(f"{channel:02x}" for channel in colour)


def _flat(found: NDArray[Any], table: ValueCounts) -> tuple[tuple[Value, int], ...]:
    full = np.iinfo(found.dtype).max if found.dtype.kind == "u" else None
    between = [value for value in table.values if value != 0 and value != full]
    if full is None or not between or not table.exact or min(found.shape) < 3:
        return ()
    inner = found[1:-1, 1:-1]
    same = (
        (inner == found[:-2, 1:-1])
        & (inner == found[2:, 1:-1])
        & (inner == found[1:-1, :-2])
        & (inner == found[1:-1, 2:])
    )
    counts, _ = _counts(inner[same])
    return tuple((value, count) for value, count in counts if value not in (0, full))


def _same_shape(colour: NDArray[Any], alpha: NDArray[Any]) -> bool:
    opaque = alpha > np.iinfo(alpha.dtype).max // 2
    return any(
        float(np.mean((colour > least) != opaque)) <= 0.001
        for least in (0, np.iinfo(colour.dtype).max // 2)
    )


def _summed(parts: Sequence[tuple[tuple[Value, int], ...]]) -> tuple[tuple[Value, int], ...]:
    sums: dict[Value, int] = {}
    for part in parts:
        for value, count in part:
            sums[value] = sums.get(value, 0) + count
    return tuple(sorted(sums.items(), key=lambda item: (str(type(item[0])), item[0])))


def _joined(tables: Sequence[ValueCounts]) -> ValueCounts:
    """Returns the sum of the tables of several pages."""
    grids = [table.grid for table in tables if table.grid is not None]
    return ValueCounts(
        counts=_summed([table.counts for table in tables]),
        border=_summed([table.border for table in tables]),
        grid=tuple(dict.fromkeys(value for grid in grids for value in grid)) if grids else None,
        exact=all(table.exact for table in tables),
    )
