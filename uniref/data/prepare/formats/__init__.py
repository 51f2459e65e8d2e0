"""Readers of the formats of labelling tools: one file per format, which is recognised by its content."""
