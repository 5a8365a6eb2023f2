"""Options of the commands as annotated types: shared ones, and those of the two commands with many."""
