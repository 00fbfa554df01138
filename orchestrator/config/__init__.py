"""Reads a YAML configuration and returns a checked sweep, or refuses it with every problem."""

from orchestrator.config.loading import SweepConfig, load_config

__all__ = ["SweepConfig", "load_config"]
