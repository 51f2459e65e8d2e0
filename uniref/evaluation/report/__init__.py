"""The self-contained page that `uniref eval` writes."""
