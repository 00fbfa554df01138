"""The kinds of findings in images and masks, each with its sentence and its remedy.

`workers.datasets.masks.advice` adds the options that read the masks at hand.
"""

from __future__ import annotations

from workers.datasets.findings import FindingKind

UNREADABLE = FindingKind(
    name="unreadable",
    severity="refused",
    text="file that cannot be read as a picture",
    remedy="replace it with a whole file of 8 or 16 bits, or remove it with its pair",
)
MASK_ALPHA = FindingKind(
    name="mask-alpha",
    severity="refused",
    text="mask whose lesion can be in alpha or in colour",
    remedy="set parameters: {mask: {channel: alpha}} of the dataset, or {channel: brightest}",
)
MASK_COLOURS = FindingKind(
    name="mask-colours",
    severity="refused",
    text="coloured mask whose lesion colours Podium cannot know",
    remedy='name them: set parameters: {mask: {lesion: ["#ff0000"]}} of the dataset',
)
MASK_NUMBERS = FindingKind(
    name="mask-numbers",
    severity="refused",
    text="mask whose lesion values Podium cannot know",
)
MASK_GREY = FindingKind(
    name="mask-grey",
    severity="refused",
    text="mask of many grey levels",
)
MASK_DISAGREES = FindingKind(
    name="mask-disagrees",
    severity="refused",
    text="mask whose values differ from those of the other masks of the dataset",
    remedy="store it like the others",
)
MASK_TRIVIAL = FindingKind(
    name="mask-trivial",
    severity="refused",
    text="mask without lesion or without background, like most masks of the dataset",
    remedy="check the files: a mask must hold pixels of lesion and of background",
)
MASK_OPTION = FindingKind(
    name="mask-option",
    severity="refused",
    text="option mask does not fit the masks",
    remedy="correct parameters: {mask: ...} of the dataset",
)
MASK_COMPRESSED = FindingKind(
    name="mask-compressed",
    severity="refused",
    text="mask with values next to those of lesion, which compression has changed",
    remedy="store the masks without loss, for example as PNG",
)
MASK_PALETTES = FindingKind(
    name="mask-palettes",
    severity="refused",
    text="colour that is lesion in one mask and background in another, because palettes differ",
    remedy='name colours: set parameters: {mask: {lesion: ["#ff0000"]}} of the dataset',
)
MASK_EMPTY = FindingKind(name="mask-empty", severity="note", text="mask without lesion")
MASK_FULL = FindingKind(name="mask-full", severity="note", text="mask that is lesion everywhere")
_UNION = "sample whose masks together are lesion everywhere"
UNIONS_FULL = FindingKind(
    name="unions-full",
    severity="refused",
    text=f"{_UNION}, like most samples of the dataset",
    remedy="one of its files or pages probably shows the background: remove it, or store one mask "
    "for each image",
)
UNION_FULL = FindingKind(name="union-full", severity="note", text=_UNION)
MASK_FAINT = FindingKind(
    name="mask-faint",
    severity="note",
    text="mask with faint values only, read as empty",
)
MASK_BETWEEN = FindingKind(
    name="mask-between",
    severity="note",
    text="mask with values between background and lesion, cut at half of full scale",
)
MASK_INVERTED = FindingKind(
    name="mask-inverted",
    severity="note",
    text="mask with lesion along most of its border, like most masks of the dataset",
    remedy="check with `podium data show` whether lesion and background are exchanged; if so,",
)
MASK_UNLIKE = FindingKind(
    name="mask-unlike",
    severity="note",
    text="mask with lesion along its border, unlike the other masks of the dataset",
    remedy="check with `podium data show` whether lesion and background are exchanged there; if "
    "so, store it like the others",
)
MASK_PAGES = FindingKind(
    name="mask-pages", severity="note", text="mask of several pages or frames, united"
)
MASK_VANISHES = FindingKind(
    name="mask-vanishes",
    severity="note",
    text="mask whose whole lesion vanishes at the network's size",
    remedy="set data.mask_resize: area to keep it, or a larger data.image_size",
)
IMAGE_PAGES = FindingKind(
    name="image-pages",
    severity="refused",
    text="image of several pages or frames",
    remedy="store one file for each picture, with its mask",
)
IMAGE_IN_ALPHA = FindingKind(
    name="image-in-alpha",
    severity="refused",
    text="image of one colour that differs only in alpha",
    remedy="store the picture in its colours",
)
IMAGE_ALPHA = FindingKind(
    name="image-alpha", severity="note", text="image with transparent pixels; alpha is ignored"
)
IMAGE_UNIFORM = FindingKind(name="image-uniform", severity="note", text="image of one colour")
IMAGE_DEPTH = FindingKind(
    name="image-depth",
    severity="note",
    text="image of 16 bits, scaled by the bits that the highest level of the dataset needs",
)
IMAGE_FAINT = FindingKind(
    name="image-faint",
    severity="note",
    text="image of 16 bits that uses less than an eighth of the range up to the highest level of "
    "the dataset, like half of the images or more",
    remedy="the network sees it nearly black: remove hot pixels, or scale the levels of all images "
    "alike before you store them",
)
IMAGE_INKS = FindingKind(
    name="image-inks", severity="note", text="image in CMYK, converted to RGB without a profile"
)
IMAGE_PROFILE = FindingKind(
    name="image-profile",
    severity="note",
    text="image with a colour profile other than sRGB, which is ignored",
)
IMAGE_SMALL = FindingKind(
    name="image-small", severity="note", text="image with a side under 32 pixels"
)
TURN_DOUBTFUL = FindingKind(
    name="orientation-doubtful",
    severity="refused",
    text="file whose EXIF orientation differs from that of its image or mask, and both ways fit",
    remedy="store image and mask upright, without the tag",
)
TURN_APPLIED = FindingKind(
    name="orientation-applied", severity="note", text="file turned by its EXIF orientation"
)
TURN_IGNORED = FindingKind(
    name="orientation-ignored",
    severity="note",
    text="file whose EXIF orientation is ignored, because image and mask fit as they are stored",
)
