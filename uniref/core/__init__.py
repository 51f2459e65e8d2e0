"""Vocabulary every other package may use: errors, boxes."""
