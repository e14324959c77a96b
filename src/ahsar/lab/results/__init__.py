"""What trials leave: the record's schema, the folder that holds records, where they come from, and their statistics."""
