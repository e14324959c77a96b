"""Many trials: the cells of a study, their comparison, tuning and robustness, and the workers that run them."""
