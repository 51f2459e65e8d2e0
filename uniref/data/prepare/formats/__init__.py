"""Formats of the tools that people label with: each in a file of its own, recognised by its content."""
