"""Masks: which of their pixels are lesion, decided once for a dataset."""
