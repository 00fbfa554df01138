"""The atlas of losses in docs/losses.md and its figures, made from the catalogue.

python -m tests.unit.workers.losses.atlas
"""

from __future__ import annotations

import io
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from orchestrator.report.palette import LINE_COLOURS, MUTED
from workers.catalogue.losses import LOSSES, LossEntry
from workers.catalogue.losses.entry import LossKind
from workers.catalogue.spaces import Range
from workers.losses.checks import loss_of

DOCS = Path(__file__).resolve().parents[4] / "docs"
PAGE = DOCS / "losses.md"
FIGURES = DOCS / "images" / "losses"

KINDS: dict[LossKind, str] = {
    "region": "Region losses",
    "distribution": "Distribution losses",
    "boundary": "Boundary losses",
    "compound": "Compound losses",
}
SIDE = 32
LESIONS = {"1 % lesion": (3, 3), "10 % lesion": (4, 26), "half lesion": (16, 32)}
"""Height and width of a lesion in an image of 32 x 32 pixels."""
NOISE = 0.25
"""Standard deviation of the logits: without it, which pixels are the worst is arbitrary."""
LINES = ("-", "--", ":")
COLOURS = LINE_COLOURS[:3]


def _truth(size: tuple[int, int]) -> Tensor:
    truth = torch.zeros(1, SIDE, SIDE, dtype=torch.long)
    top, left = ((SIDE - side) // 2 for side in size)
    truth[:, top : top + size[0], left : left + size[1]] = 1
    return truth


Curve = tuple[list[float], list[float], list[float], list[float]]


def curve(entry: LossEntry, size: tuple[int, int]) -> Curve:
    """Returns what the figure of a loss shows, for a lesion of a height and width in pixels.

    All pixels have about the same p_t, the probability of their own class.

    Returns:
        p_t; the value; and the slope that a lesion and a background pixel get towards the truth,
        times the number of pixels (means over each).
    """
    truth = _truth(size)
    sign = (2 * truth[:, None] - 1).double()
    generator = torch.Generator().manual_seed(0)
    noise = NOISE * torch.randn(sign.shape, generator=generator, dtype=torch.float64)
    found: tuple[list[float], ...] = ([], [], [], [])
    for right in torch.linspace(0.005, 0.995, 100, dtype=torch.float64):
        logits = (sign * torch.logit(right) + noise).requires_grad_()
        value = loss_of(entry)(logits, truth)
        (gradient,) = torch.autograd.grad(value, logits)
        pull = -(gradient * sign).flatten() * SIDE**2
        lesion = truth.flatten() == 1
        numbers = (right, value.detach(), pull[lesion].mean(), pull[~lesion].mean())
        for column, number in zip(found, numbers, strict=True):
            column.append(number.item())
    return found  # type: ignore[return-value]


def draw(entry: LossEntry) -> bytes:
    """Returns the figure of a loss as PNG: value and gradient over p_t."""
    figure = Figure(figsize=(6.4, 2.3), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2)
    for (label, size), line in zip(LESIONS.items(), LINES, strict=True):
        certain, values, _, _ = curve(entry, size)
        left.plot(certain, values, line, color=COLOURS[0], label=label, linewidth=1.4)
    certain, _, lesion, background = curve(entry, LESIONS["10 % lesion"])
    right.plot(certain, lesion, "-", color=COLOURS[1], label="lesion pixel", linewidth=1.4)
    right.plot(certain, background, "--", color=COLOURS[2], label="background pixel", linewidth=1.4)
    _finish(left, "value")
    _finish(right, "gradient per pixel, 10 % lesion")
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", metadata={"Software": None})
    small = io.BytesIO()
    Image.open(drawn).convert("RGB").quantize(32).save(small, format="PNG", optimize=True)
    return small.getvalue()


def _finish(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=8, loc="left")
    axes.set_xlabel("p of the true class, about the same in every pixel", fontsize=7)
    axes.tick_params(labelsize=7)
    axes.axhline(0, color=MUTED, linewidth=0.5)
    axes.set_xlim(0, 1)
    axes.legend(fontsize=6.5, frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _shown(value: object) -> str:
    return f"{value:.4g}".replace("e-0", "e-") if isinstance(value, float) else str(value)


def _options(entry: LossEntry) -> str:
    defaults = entry.options().model_dump(mode="json")
    return ", ".join(f"`{key}` ({_shown(value)})" for key, value in defaults.items())


def _space(entry: LossEntry) -> str:
    def text(key: str) -> str:
        domain = entry.space[key]
        if isinstance(domain, Range):
            return f"`{key}` from {_shown(domain.low)} to {_shown(domain.high)}"
        return f"`{key}` of {', '.join(map(str, domain.values))}"

    return ", ".join([*map(text, entry.space), "the learning rate"])


def _section(entry: LossEntry) -> str:
    classes = (
        f"one channel only, because {entry.one_channel}." if entry.one_channel else "any number."
    )
    alone = f" Add it to another loss, such as `{entry.partner}+{entry.name}`." * bool(
        entry.partner
    )
    facts = {
        "Formula": f"`{entry.formula.replace('`', '')}`",
        "Source": f"{entry.citation}.",
        "Options": f"{_options(entry) or 'none'}. `podium tune` searches {_space(entry)}.",
        "Empty and full masks": entry.edges,
        "Classes": classes,
        "Use": f"{entry.use}{alone}",
        "Known to fail": entry.fails,
        "Agrees with": entry.agrees,
    }
    lines = "\n".join(f"- **{key}:** {text}" for key, text in facts.items())
    picture = f"![Value and gradient of {entry.name}](images/losses/{entry.name}.png)"
    return f"### {entry.title}: `{entry.name}`\n\n{picture}\n\n{lines}\n"


def _own() -> list[LossEntry]:
    return [entry for name, entry in LOSSES.items() if LOSSES.origin(name) is None]


def table() -> str:
    """Returns the table of all losses."""

    def row(one: LossEntry) -> str:
        formula = one.formula.replace("|", "\\|")
        return f"| `{one.name}` | {one.title} | {formula} | {_options(one)} |\n"

    head = "| name | published as | formula | options (default) |\n| --- | --- | --- | --- |\n"
    return head + "".join(map(row, _own()))


def sections() -> str:
    """Returns a section per loss, by kind."""
    parts = []
    for kind, title in KINDS.items():
        parts.append(f"## {title}\n")
        parts += [_section(entry) for entry in _own() if entry.kind == kind]
    return "\n".join(parts)


def fill(page: str) -> str:
    """Returns docs/losses.md with its table and sections made again."""
    for name, text in (("table", table()), ("sections", sections())):
        head, _, rest = page.partition(f"<!-- generated: {name} -->\n")
        _, _, tail = rest.partition("<!-- end -->")
        page = f"{head}<!-- generated: {name} -->\n{text}<!-- end -->{tail}"
    return page


if __name__ == "__main__":
    FIGURES.mkdir(exist_ok=True)
    for own in _own():
        (FIGURES / f"{own.name}.png").write_bytes(draw(own))
    PAGE.write_text(fill(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
