"""Two sweeps beside each other: what differs between them, in numbers and as a page."""
