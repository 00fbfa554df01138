"""The tables of docs/data.md, made from real files.

python -m tests.unit.workers.datasets.odd_page
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.unit.workers.datasets import odd

PAGE = Path(__file__).resolve().parents[4] / "docs" / "data.md"


def row(one: odd.Odd, folder: Path) -> str:
    """Returns the row of the table."""
    decision = odd.look(one, folder)
    verdict = "refused" if decision.refusals else "read"
    says = [found.sentence(2) for found in decision.findings]
    if decision.rule and one in odd.MASKS:
        says = [decision.rule.sentence, *says]
    text = "<br>".join(says).replace("|", "\\|")
    return f"| {one.what} | {verdict} | {text} |"


def table(oddities: tuple[odd.Odd, ...]) -> str:
    """Returns the table of docs/data.md."""
    with tempfile.TemporaryDirectory() as scratch:
        rows = [row(item, Path(scratch) / str(i)) for i, item in enumerate(oddities)]
    head = "| input | Podium | sentences |\n| --- | --- | --- |\n"
    return head + "\n".join(rows) + "\n"


def fill(page: str) -> str:
    """Returns docs/data.md with its tables made again."""
    for name, oddities in (("masks", odd.MASKS), ("images", odd.IMAGES)):
        head, _, rest = page.partition(f"<!-- generated: {name} -->\n")
        _, _, tail = rest.partition("<!-- end -->")
        page = f"{head}<!-- generated: {name} -->\n{table(oddities)}<!-- end -->{tail}"
    return page


if __name__ == "__main__":
    PAGE.write_text(fill(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
