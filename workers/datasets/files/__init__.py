"""Files of datasets: decoding, hashing, unpacking, and findings on single files."""
