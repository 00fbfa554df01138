"""Files of datasets: decoded, hashed, unpacked, written; what is odd in one of them."""
