"""What an experiment is: its data, model, paradigm and budget, and which of them go together."""
