"""From trial records to numbers, tables, pictures and self-contained pages."""
