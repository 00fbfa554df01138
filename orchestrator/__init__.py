"""Plans a grid of trainings, runs it on Ray Tune, keeps the results and ranks them."""
