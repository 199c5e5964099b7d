"""The FaceScape benchmark's metrics for meshes of any method, and their tables. Needs no torch."""
