"""Figures of a sweep: print files and their data."""
