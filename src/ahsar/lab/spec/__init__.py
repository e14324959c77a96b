"""What one experiment freezes before it runs: workload files, their fields and the rules between them."""
