"""Image archives and what is made of them: manifests, triplet plans, landmarks, Parquet shards."""
