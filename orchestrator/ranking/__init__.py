"""The podium: which loss wins, counted by dataset and by model, as pure functions on tables."""
