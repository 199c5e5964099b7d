"""NVIDIA Warp's ray casting as a peer of the rasterizer, on the CPU (for benchmarks/render.py)."""

import numpy as np
import warp as wp

wp.config.quiet = True


@wp.kernel
def cast(
    mesh: wp.uint64, origins: wp.array(dtype=wp.vec3), directions: wp.array(dtype=wp.vec3), hit: wp.array(dtype=int)
):
    i = wp.tid()
    query = wp.mesh_query_ray(mesh, origins[i], directions[i], 10.0)
    if query.result:
        hit[i] = query.face + 1
    else:
        hit[i] = 0


def ray_caster(vertices: np.ndarray, faces: np.ndarray, rays: np.ndarray):
    """A function that casts rays [H, W, 6] at each of the meshes [B, V, 3], faces [F, 3]."""
    flat = rays.reshape(-1, 6)
    origins = wp.array(np.ascontiguousarray(flat[:, :3]), dtype=wp.vec3, device="cpu")
    directions = wp.array(np.ascontiguousarray(flat[:, 3:]), dtype=wp.vec3, device="cpu")
    hit = wp.zeros(len(flat), dtype=int, device="cpu")
    indices = wp.array(faces.reshape(-1), dtype=int, device="cpu")

    def draw():
        for image in vertices:
            mesh = wp.Mesh(points=wp.array(image, dtype=wp.vec3, device="cpu"), indices=indices)
            wp.launch(cast, dim=len(flat), inputs=[mesh.id, origins, directions, hit], device="cpu")

    return draw
