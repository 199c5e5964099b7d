"""Runs on their way to MLflow: written to disk first, sent by a process of their own, kept until they have arrived."""
