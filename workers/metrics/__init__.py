"""Test metrics: pixel counts on the device, scores from counts without torch."""
