"""The contact sheet of a dataset: its samples as Podium reads them, as a page and as a picture."""
