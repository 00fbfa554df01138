"""One local page that shows a sweep while it runs, from the store alone."""
