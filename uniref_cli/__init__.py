"""The `uniref` command."""
