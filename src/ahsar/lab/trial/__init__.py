"""One trial: one arm, one seed, one workload, from the first batch to its record."""
