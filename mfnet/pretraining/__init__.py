"""Training of the networks that MFNet starts from, and where their weights come from."""
