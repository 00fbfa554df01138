"""The results: Parquet tables below one location, with one atomic commit per trial."""

from orchestrator.store.compact import CompactionSummary, TableCompaction
from orchestrator.store.drivers import RunningTrial, RunRecord
from orchestrator.store.feed import Feed
from orchestrator.store.query_result import QueryResult, json_value
from orchestrator.store.saved_queries import SAVED_QUERIES, SavedQuery
from orchestrator.store.schema import SCHEMA_VERSION, TABLES, VIEWS, describe_tables
from orchestrator.store.storage import StoreError, TemporaryStoreError
from orchestrator.store.store import Store
from orchestrator.store.verify import REMEDIES, Verification

__all__ = [
    "REMEDIES",
    "SAVED_QUERIES",
    "SCHEMA_VERSION",
    "TABLES",
    "VIEWS",
    "CompactionSummary",
    "Feed",
    "QueryResult",
    "RunRecord",
    "RunningTrial",
    "SavedQuery",
    "Store",
    "StoreError",
    "TableCompaction",
    "TemporaryStoreError",
    "Verification",
    "describe_tables",
    "json_value",
]
