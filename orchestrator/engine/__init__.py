"""Engines: the ways to run a plan's trials."""
