"""Configurations: YAML in, a checked sweep or a list of what is wrong out."""

from orchestrator.config.document import ConfigSource, is_config
from orchestrator.config.loading import SweepConfig, load_config

__all__ = ["ConfigSource", "SweepConfig", "is_config", "load_config"]
