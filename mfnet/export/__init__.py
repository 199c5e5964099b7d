"""What leaves the project: textured meshes for other programs, and pictures for people."""
