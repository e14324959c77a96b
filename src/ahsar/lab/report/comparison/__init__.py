"""The page of a comparison: one cell, all its arms."""
