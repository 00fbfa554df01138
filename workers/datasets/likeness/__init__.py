"""Equal pictures and near duplicates, and what they mean for splits."""
