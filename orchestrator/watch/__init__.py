"""A local web page that shows a running sweep, read from its results only."""
