"""Training MFNet: loop, trainer, validation, supervision, schedule, distribution."""
