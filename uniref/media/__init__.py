"""Pictures, masks and videos on disk."""
