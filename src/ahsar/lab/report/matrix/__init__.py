"""The page over the cells of a matrix."""
