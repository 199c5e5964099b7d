"""Where landmarks lie on a head, found by looking at drawn pictures of it."""
