"""Training MFNet and the networks it starts from."""
