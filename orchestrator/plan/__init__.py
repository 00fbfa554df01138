"""Planning: the grid, what each trial of it needs, and what must hold before it starts."""
