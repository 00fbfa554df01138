"""Trains one combination of dataset, model and loss; knows nothing of Ray, Parquet or grids."""
