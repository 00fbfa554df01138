"""The results: Parquet tables below one location, with one atomic commit a trial."""

from orchestrator.store.answer import Answer, plain
from orchestrator.store.compact import CompactionSummary, TableCompaction
from orchestrator.store.drivers import RunningTrial, RunRecord
from orchestrator.store.feed import Feed
from orchestrator.store.saved_queries import SAVED_QUERIES, SavedQuery
from orchestrator.store.schema import SCHEMA_VERSION, TABLES, VIEWS, describe_tables
from orchestrator.store.storage import StoreError, StoreHiccupError
from orchestrator.store.store import Store
from orchestrator.store.verify import REMEDIES, Verification

__all__ = [
    "REMEDIES",
    "SAVED_QUERIES",
    "SCHEMA_VERSION",
    "TABLES",
    "VIEWS",
    "Answer",
    "CompactionSummary",
    "Feed",
    "RunRecord",
    "RunningTrial",
    "SavedQuery",
    "Store",
    "StoreError",
    "StoreHiccupError",
    "TableCompaction",
    "Verification",
    "describe_tables",
    "plain",
]
