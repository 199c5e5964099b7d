"""What is on disk against what is recorded: dvc.lock, params, code, the cache and the runs."""
