"""The page that shows a reconstructed head: one file, opened from disk, without a network."""
