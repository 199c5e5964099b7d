"""The 68 iBUG landmarks of an image: the embedded network, other backends, and the table of an archive."""
