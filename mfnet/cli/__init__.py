"""The ``mfnet`` command. Nothing else in the package imports this floor."""
