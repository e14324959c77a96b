"""From trial records to numbers, tables, pictures and one self-contained page."""
