"""The project's methods on the benchmark: choose the input views, predict, place the mesh, score."""
