"""Layouts of datasets on disk: one file per public layout, and the pairing of their files."""
