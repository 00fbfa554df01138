"""Code of other packages that changed between trials which are ranked together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from orchestrator.untrusted import mapping_of
from workers.outside import code_digests


def changed_code(rows: Iterable[object], now: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Says which code of other packages is not the same in all trials.

    Args:
        rows: The column `versions` of trials of one protocol.
        now: The versions that further trials will run with.

    Returns:
        A sentence for each file of code with several versions.
    """
    known: dict[str, Counter[str]] = {}
    for text, count in Counter(str(row) for row in rows).items():
        for key, version in code_digests(mapping_of(text)).items():
            known.setdefault(key, Counter())[version] += count
    sentences = []
    for key, counts in sorted(known.items()):
        current = code_digests(now or {}).get(key)
        if set(counts) <= {current} or (current is None and len(counts) == 1):
            continue
        parts = [
            f"{n:,} {'trials' if n > 1 else 'trial'} with {text}"
            for text, n in counts.most_common()
        ]
        if current is not None:
            parts.append(f"the next ones with {current}")
        sentences.append(
            f"the code of {key} changed: {', '.join(parts)}; these numbers are ranked together, "
            "unless you set results to another location and train all trials again"
        )
    return tuple(sentences)
