"""Searches for the parameters of losses: spaces, studies, and the search on Ray Tune."""
