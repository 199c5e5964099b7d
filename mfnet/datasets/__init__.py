"""Image archives and what is made of them: manifests, triplet plans, Parquet shards, benchmark layouts."""
