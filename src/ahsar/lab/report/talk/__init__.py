"""Pictures for a talk: 16:9, one message each, which is the title; readable from the back row."""
