"""The page of a population: its numbers, its pictures and what they say."""
