"""Layouts of datasets on disk: one file per public layout, and what finds and pairs their files."""
