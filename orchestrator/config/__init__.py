"""Configurations: YAML in, a checked sweep or a list of what is wrong out."""

from orchestrator.config.loading import SweepConfig, load_config

__all__ = ["SweepConfig", "load_config"]
