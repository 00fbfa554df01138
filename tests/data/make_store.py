"""Writes a small store with the schema version of the code on the path, before a new version.

    PYTHONPATH=. python tests/data/make_store.py tests/data/store_v2/results

Trials 0 to 2 are compacted, trial 3 (diverged) and 4 are parts, trial 5 failed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from orchestrator.store import SCHEMA_VERSION, Store
from tests.unit.orchestrator.store.trials import NOW, make_failure, make_result, make_spec


def main(root: Path) -> None:
    """Fills an empty folder."""
    if root.parent.name != f"store_v{SCHEMA_VERSION}":
        sys.exit(f"the code on the path writes schema version {SCHEMA_VERSION}: not for {root}")
    store = Store(root)
    for number in range(5):
        result = make_result(number, diverged=number == 3)
        store.commit(make_spec(number), result, committed_at=NOW)
        if number == 2:
            store.compact(NOW)
    store.record_failure(make_failure(5))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
