"""A sweep in a separate process that a test kills: `sweep_script.py LOCATION COUNT`."""

import sys
from datetime import UTC, datetime

from orchestrator.store import Store, StoreError
from tests.unit.orchestrator.store.trials import NOW, make_result, make_spec
from workers.identity import trial_id


def main() -> None:
    store, count = Store(sys.argv[1]), int(sys.argv[2])
    print("ready", flush=True)  # noqa: T201
    store.clean_up(datetime.now(UTC))
    for number in range(count):
        identity = trial_id(make_spec(number))
        if store.find_committed(identity) is None:
            store.checkpoints(identity).save(b"state" * 100)
            store.commit(make_spec(number), make_result(number), committed_at=NOW)
            print("committed", number, flush=True)  # noqa: T201
        store.delete_checkpoint(identity)
        if number % 4 == 3:
            store.compact(datetime.now(UTC))
    store.compact(datetime.now(UTC))
    print("done", flush=True)  # noqa: T201


if __name__ == "__main__":
    try:
        main()
    except StoreError as error:
        print("refused", error, flush=True)  # noqa: T201
        sys.exit(2)
