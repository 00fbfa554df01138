"""One self-contained page that shows a sweep's result, and its figures."""
