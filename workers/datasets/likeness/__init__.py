"""Pictures that are equal or nearly so, and what that means for splits."""
