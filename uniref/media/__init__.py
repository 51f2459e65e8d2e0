"""Images, masks and videos on disk."""
