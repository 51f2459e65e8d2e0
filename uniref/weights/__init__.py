"""Checkpoints: reading foreign ones without executing them, renaming, and the project's own format."""
