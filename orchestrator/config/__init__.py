"""Reads a YAML configuration and returns a checked sweep, or refuses it with every problem."""

from orchestrator.config.document import ConfigSource, is_config
from orchestrator.config.loading import SweepConfig, load_config

__all__ = ["ConfigSource", "SweepConfig", "is_config", "load_config"]
