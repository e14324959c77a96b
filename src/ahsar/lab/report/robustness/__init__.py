"""The page of a comparison's models on corrupted samples."""
