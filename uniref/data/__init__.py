"""Data sets: the index all of them are turned into, what makes it, and what training reads from it."""
