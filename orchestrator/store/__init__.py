"""The results: Parquet tables below one location, with one atomic commit a trial."""

from orchestrator.store.compact import CompactionSummary, TableCompaction
from orchestrator.store.parquet import DamagedFile, Store
from orchestrator.store.rows import CommittedTrial, FailureRecord, FailureRow
from orchestrator.store.schema import SCHEMA_VERSION, TABLES, describe_tables
from orchestrator.store.storage import StoreError

__all__ = [
    "SCHEMA_VERSION",
    "TABLES",
    "CommittedTrial",
    "CompactionSummary",
    "DamagedFile",
    "FailureRecord",
    "FailureRow",
    "Store",
    "StoreError",
    "TableCompaction",
    "describe_tables",
]
