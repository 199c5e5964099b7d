"""The numba kernels behind `mfnet.render.rasterizer`: one image at a time, contiguous arrays, rows from the top.

Coverage is decided with whole numbers: vertices are snapped to 1/16 pixel, an edge function is exact, and a pixel
centre on an edge belongs to the triangle whose top or left edge it is. Depth and face are one whole number, compared at
once, so that of two faces at one depth the first in the list wins whatever the order of drawing. Barycentrics are those
of the vertices before snapping, by homogeneous coordinates (Olano and Greer 1997, "Triangle scan conversion using 2D
homogeneous coordinates"); where snapping lets a pixel centre fall just outside its triangle, the negative weight is set
to zero and the others are rescaled.
"""

import numpy as np

from mfnet.compute.compiled import kernel

SUBPIXEL = 16  # steps a pixel
GUARD = 64.0  # |x|, |y| <= GUARD w is drawn as it is; the few triangles beyond are clipped to it
DEPTH_STEPS = 2.0**31 - 1  # z / w in [-1, 1] is counted in steps of 1 / DEPTH_STEPS
FACE_BITS = 31
FACE_MASK = (1 << FACE_BITS) - 1
EMPTY = np.iinfo(np.int64).max


@kernel
def snap_vertices(clip: np.ndarray, height: int, width: int, snapped: np.ndarray, depth: np.ndarray) -> None:
    """clip [V, 4] -> snapped [V, 2] int64 (1/16 pixel) and depth [V] (steps); a vertex that must be clipped gets depth
    NaN.

    A NaN anywhere in a position counts as a vertex to be clipped.
    """
    half_width, half_height = 0.5 * SUBPIXEL * width, 0.5 * SUBPIXEL * height
    for v in range(clip.shape[0]):
        x, y, z, w = np.float64(clip[v, 0]), np.float64(clip[v, 1]), np.float64(clip[v, 2]), np.float64(clip[v, 3])
        if w > 0 and abs(x) <= GUARD * w and abs(y) <= GUARD * w and abs(z) <= 1e6 * w:
            snapped[v, 0] = np.int64(np.floor((x / w + 1) * half_width + 0.5))
            snapped[v, 1] = np.int64(np.floor((1 - y / w) * half_height + 0.5))
            depth[v] = (z / w + 1) * DEPTH_STEPS
        else:
            depth[v] = np.nan


@kernel
def draw_triangle(
    x0: int, y0: int, z0: float, x1: int, y1: int, z1: float, x2: int, y2: int, z2: float, face: int, keys: np.ndarray
) -> None:
    """Draw one snapped triangle into keys [H, W] int64: depth steps above, face index below; the smallest stays."""
    area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
    if area == 0:
        return
    if area < 0:
        x1, y1, z1, x2, y2, z2 = x2, y2, z2, x1, y1, z1
        area = -area
    # Pixel p has its centre at 16 p + 8.
    left = max((min(x0, x1, x2) + 7) >> 4, 0)
    right = min((max(x0, x1, x2) - 8) >> 4, keys.shape[1] - 1)
    top = max((min(y0, y1, y2) + 7) >> 4, 0)
    bottom = min((max(y0, y1, y2) - 8) >> 4, keys.shape[0] - 1)
    if left > right or top > bottom:
        return
    dx0, dy0 = x2 - x1, y2 - y1  # edge i is opposite to vertex i; clockwise on the screen
    dx1, dy1 = x0 - x2, y0 - y2
    dx2, dy2 = x1 - x0, y1 - y0
    px, py = 16 * left + 8, 16 * top + 8
    e0 = dx0 * (py - y1) - dy0 * (px - x1)
    e1 = dx1 * (py - y2) - dy1 * (px - x2)
    e2 = dx2 * (py - y0) - dy2 * (px - x0)
    inverse = 1.0 / area
    z_row = (e0 * z0 + e1 * z1 + e2 * z2) * inverse + 0.5
    z_right = -16.0 * (dy0 * z0 + dy1 * z1 + dy2 * z2) * inverse
    z_down = 16.0 * (dx0 * z0 + dx1 * z1 + dx2 * z2) * inverse
    # Neither a left nor a top edge: the centre on it is outside.
    e0 -= not ((dy0 < 0) | ((dy0 == 0) & (dx0 > 0)))
    e1 -= not ((dy1 < 0) | ((dy1 == 0) & (dx1 > 0)))
    e2 -= not ((dy2 < 0) | ((dy2 == 0) & (dx2 > 0)))
    right_0, right_1, right_2 = 16 * dy0, 16 * dy1, 16 * dy2
    for row in range(top, bottom + 1):
        line = keys[row]
        f0, f1, f2, z = e0, e1, e2, z_row
        for column in range(left, right + 1):  # without branches, which would be guessed wrong at every second pixel
            inside = ((f0 | f1 | f2) >= 0) & (z >= 0) & (z <= 2 * DEPTH_STEPS + 1)
            line[column] = min(line[column], (np.int64(z) << FACE_BITS) | face if inside else EMPTY)
            f0 -= right_0
            f1 -= right_1
            f2 -= right_2
            z += z_right
        e0 += 16 * dx0
        e1 += 16 * dx1
        e2 += 16 * dx2
        z_row += z_down


@kernel
def plane_distance(plane: int, x: float, y: float, z: float, w: float) -> float:
    """Signed distances to the planes of the clipping volume: the near plane and the guard band's four sides."""
    if plane == 0:
        return z + w
    if plane == 1:
        return GUARD * w - x
    if plane == 2:
        return GUARD * w + x
    if plane == 3:
        return GUARD * w - y
    return GUARD * w + y


@kernel
def clip_polygon(corners: np.ndarray, other: np.ndarray) -> int:
    """Clip the triangle corners[:3] (rows x, y, z, w; room for 8) by the five planes; returns the number of corners.

    Sutherland and Hodgman 1974. The result is in `corners`; `other` is scratch of the same shape.
    """
    count = 3
    for plane in range(5):
        kept = 0
        for i in range(count):
            j = (i + 1) % count
            here = plane_distance(plane, corners[i, 0], corners[i, 1], corners[i, 2], corners[i, 3])
            there = plane_distance(plane, corners[j, 0], corners[j, 1], corners[j, 2], corners[j, 3])
            if here >= 0:
                other[kept] = corners[i]
                kept += 1
            if (here >= 0) != (there >= 0):
                other[kept] = corners[i] + (corners[j] - corners[i]) * (here / (here - there))
                kept += 1
        corners[:kept] = other[:kept]
        count = kept
    return count


@kernel
def draw_clipped(clip: np.ndarray, faces: np.ndarray, face: int, height: int, width: int, keys: np.ndarray) -> None:
    """Clip one triangle and draw what is left of it as a fan; one with a position that is not finite is dropped."""
    corners, other = np.empty((9, 4)), np.empty((9, 4))
    for i in range(3):
        for k in range(4):
            corners[i, k] = clip[faces[face, i], k]
    if not np.all(np.isfinite(corners[:3])):
        return
    count = clip_polygon(corners, other)
    snapped, depth = np.empty((9, 2), np.int64), np.empty(9)
    for i in range(count):
        x, y, z, w = corners[i]
        if w <= 0:
            return
        snapped[i, 0] = np.int64(np.floor((x / w + 1) * (0.5 * SUBPIXEL * width) + 0.5))
        snapped[i, 1] = np.int64(np.floor((1 - y / w) * (0.5 * SUBPIXEL * height) + 0.5))
        depth[i] = (z / w + 1) * DEPTH_STEPS
    for i in range(1, count - 1):
        a, b, c = snapped[0], snapped[i], snapped[i + 1]
        draw_triangle(a[0], a[1], depth[0], b[0], b[1], depth[i], c[0], c[1], depth[i + 1], face, keys)


@kernel
def corners(faces: np.ndarray, face: int) -> tuple[np.uint32, np.uint32, np.uint32]:
    """The vertices of a face, as unsigned numbers: numba need not look whether an index counts from the end."""
    return np.uint32(faces[face, 0]), np.uint32(faces[face, 1]), np.uint32(faces[face, 2])


@kernel
def draw_image(clip: np.ndarray, faces: np.ndarray, keys: np.ndarray, snapped: np.ndarray, depth: np.ndarray) -> None:
    """Draw clip [V, 4], faces [F, 3] into keys [H, W]; snapped [V, 2] int64 and depth [V] are scratch."""
    height, width = keys.shape
    keys[:] = EMPTY
    snap_vertices(clip, height, width, snapped, depth)
    for face in range(faces.shape[0]):
        a, b, c = corners(faces, face)
        za, zb, zc = depth[a], depth[b], depth[c]
        if np.isnan(za + zb + zc):
            draw_clipped(clip, faces, face, height, width, keys)
        else:
            xa, ya, xb, yb = snapped[a, 0], snapped[a, 1], snapped[b, 0], snapped[b, 1]
            draw_triangle(xa, ya, za, xb, yb, zb, snapped[c, 0], snapped[c, 1], zc, face, keys)


@kernel
def image_positions(clip: np.ndarray, positions: np.ndarray) -> None:
    """The x, y and w of clip [V, 4] as float64, positions [V, 3]: converted once, not at every pixel."""
    for v in range(clip.shape[0]):
        positions[v, 0], positions[v, 1], positions[v, 2] = clip[v, 0], clip[v, 1], clip[v, 3]


@kernel
def corner_offsets(
    positions: np.ndarray, a: np.uint32, b: np.uint32, c: np.uint32, x: float, y: float
) -> tuple[float, float, float, float, float, float]:
    """Each vertex's (x - x w, y - y w) seen from ndc (x, y); e_i are the cross products of the other two."""
    wa, wb, wc = positions[a, 2], positions[b, 2], positions[c, 2]
    xa, ya = positions[a, 0] - x * wa, positions[a, 1] - y * wa
    xb, yb = positions[b, 0] - x * wb, positions[b, 1] - y * wb
    xc, yc = positions[c, 0] - x * wc, positions[c, 1] - y * wc
    return xa, ya, xb, yb, xc, yc


@kernel
def resolve_image(
    positions: np.ndarray,
    faces: np.ndarray,
    keys: np.ndarray,
    face_id: np.ndarray,
    barycentrics: np.ndarray,
    depth: np.ndarray,
) -> None:
    """Turn keys [H, W] into face_id [H, W] (0 or face + 1), barycentrics [H, W, 3] and depth [H, W] (z / w)."""
    height, width = keys.shape
    for row in range(height):
        y = 1 - (2 * row + 1) / height
        for column in range(width):
            key = keys[row, column]
            if key == EMPTY:
                face_id[row, column] = 0
                barycentrics[row, column, 0] = 0
                barycentrics[row, column, 1] = 0
                barycentrics[row, column, 2] = 0
                depth[row, column] = 0
                continue
            face = key & FACE_MASK
            x = (2 * column + 1) / width - 1
            a, b, c = corners(faces, face)
            xa, ya, xb, yb, xc, yc = corner_offsets(positions, a, b, c, x, y)
            e0, e1, e2 = xb * yc - yb * xc, xc * ya - yc * xa, xa * yb - ya * xb
            sign = 1.0 if e0 + e1 + e2 >= 0 else -1.0
            e0, e1, e2 = max(sign * e0, 0.0), max(sign * e1, 0.0), max(sign * e2, 0.0)
            total = e0 + e1 + e2
            inverse = 1.0 / total if total > 0 else 0.0
            face_id[row, column] = face + 1
            barycentrics[row, column, 0] = e0 * inverse
            barycentrics[row, column, 1] = e1 * inverse
            barycentrics[row, column, 2] = e2 * inverse if total > 0 else 1.0
            depth[row, column] = (key >> FACE_BITS) * (1 / DEPTH_STEPS) - 1


@kernel
def rasterize(
    start: int,
    stop: int,
    clip: np.ndarray,
    faces: np.ndarray,
    face_id: np.ndarray,
    barycentrics: np.ndarray,
    depth: np.ndarray,
) -> None:
    """Rasterize images start..stop of clip [B, V, 4] into the three outputs [B, H, W(, 3)]."""
    count = clip.shape[1]
    keys = np.empty(face_id.shape[1:], np.int64)
    snapped, vertex_depth, positions = np.empty((count, 2), np.int64), np.empty(count), np.empty((count, 3))
    for i in range(start, stop):
        draw_image(clip[i], faces, keys, snapped, vertex_depth)
        image_positions(clip[i], positions)
        resolve_image(positions, faces, keys, face_id[i], barycentrics[i], depth[i])


@kernel
def rasterize_backward(
    start: int,
    stop: int,
    clip: np.ndarray,
    faces: np.ndarray,
    face_id: np.ndarray,
    barycentrics: np.ndarray,
    grad: np.ndarray,
    grad_clip: np.ndarray,
) -> None:
    """Gradient [B, H, W, 3] of the barycentrics -> of the clip positions [B, V, 4] (z has none), images start..stop.

    With M the matrix of the face's vertices (x, y, w) as columns and u = M^-1 (x, y, 1) for the pixel, b = u / sum(u).
    So the gradient of vertex i is -b_i sum_j (g_j - g b) (row j of M^-1): the pixels of a face share M^-1, and only
    the sums of b_i (g_j - g b) are taken pixel by pixel. Where a negative weight was set to zero, `add_clamped` does
    it all.
    """
    height, width = face_id.shape[1:]
    positions, out = np.empty((clip.shape[1], 3)), np.empty((clip.shape[1], 3))
    sums, seen = np.empty((faces.shape[0], 9)), np.empty(faces.shape[0], np.bool_)
    for i in range(start, stop):
        image_positions(clip[i], positions)
        out[:], sums[:], seen[:] = 0, 0, False
        for row in range(height):
            for column in range(width):
                face = face_id[i, row, column] - 1
                if face < 0:
                    continue
                g, weights = grad[i, row, column], barycentrics[i, row, column]
                g0, g1, g2 = np.float64(g[0]), np.float64(g[1]), np.float64(g[2])
                b0, b1, b2 = np.float64(weights[0]), np.float64(weights[1]), np.float64(weights[2])
                if b0 == 0 or b1 == 0 or b2 == 0:
                    x, y = (2 * column + 1) / width - 1, 1 - (2 * row + 1) / height
                    a, b, c = corners(faces, face)
                    add_clamped(positions, a, b, c, x, y, g0, g1, g2, out)
                    continue
                mean = g0 * b0 + g1 * b1 + g2 * b2
                h0, h1, h2 = g0 - mean, g1 - mean, g2 - mean
                seen[face] = True
                add_products(sums[face], b0, b1, b2, h0, h1, h2)
        for face in range(faces.shape[0]):
            if seen[face]:
                a, b, c = corners(faces, face)
                add_face(positions, a, b, c, sums[face], out)
        grad_clip[i, :, 0], grad_clip[i, :, 1], grad_clip[i, :, 2] = out[:, 0], out[:, 1], 0
        grad_clip[i, :, 3] = out[:, 2]


@kernel
def add_products(out: np.ndarray, b0: float, b1: float, b2: float, h0: float, h1: float, h2: float) -> None:
    """Add the products of all b and all h to out [9], reading all of it before writing any."""
    p0, p1, p2 = out[0] + b0 * h0, out[1] + b0 * h1, out[2] + b0 * h2
    p3, p4, p5 = out[3] + b1 * h0, out[4] + b1 * h1, out[5] + b1 * h2
    p6, p7, p8 = out[6] + b2 * h0, out[7] + b2 * h1, out[8] + b2 * h2
    out[0], out[1], out[2], out[3], out[4], out[5], out[6], out[7], out[8] = p0, p1, p2, p3, p4, p5, p6, p7, p8


@kernel
def add_face(
    positions: np.ndarray, a: np.uint32, b: np.uint32, c: np.uint32, sums: np.ndarray, out: np.ndarray
) -> None:
    """Turn the sums [9] of one face into its vertices' gradients and add them to out [V, 3] (x, y, w)."""
    xa, ya, wa = positions[a, 0], positions[a, 1], positions[a, 2]
    xb, yb, wb = positions[b, 0], positions[b, 1], positions[b, 2]
    xc, yc, wc = positions[c, 0], positions[c, 1], positions[c, 2]
    xs, ys, ws = yb * wc - wb * yc, wb * xc - xb * wc, xb * yc - yb * xc  # row 0 of M^-1 times det M
    xt, yt, wt = yc * wa - wc * ya, wc * xa - xc * wa, xc * ya - yc * xa
    xu, yu, wu = ya * wb - wa * yb, wa * xb - xa * wb, xa * yb - ya * xb
    determinant = wa * ws + wb * wt + wc * wu
    if determinant == 0:
        return
    scale = -1.0 / determinant
    of_a, of_b, of_c = (sums[0], sums[1], sums[2]), (sums[3], sums[4], sums[5]), (sums[6], sums[7], sums[8])
    for vertex, (s, t, u) in ((a, of_a), (b, of_b), (c, of_c)):
        out[vertex, 0] += scale * (s * xs + t * xt + u * xu)
        out[vertex, 1] += scale * (s * ys + t * yt + u * yu)
        out[vertex, 2] += scale * (s * ws + t * wt + u * wu)


@kernel
def add_clamped(
    positions: np.ndarray,
    a: np.uint32,
    b: np.uint32,
    c: np.uint32,
    x: float,
    y: float,
    g0: float,
    g1: float,
    g2: float,
    out: np.ndarray,
) -> None:
    """The gradient of one pixel's barycentrics where some are zero, in full, added to out [V, 3] (x, y, w).

    With e_i the edge functions, negative ones set to zero, b_i = e_i / sum(e), so
    db_i / de_j = (delta_ij - b_i) / sum(e) for the e_j that are not zero.
    """
    xa, ya, xb, yb, xc, yc = corner_offsets(positions, a, b, c, x, y)
    e0, e1, e2 = xb * yc - yb * xc, xc * ya - yc * xa, xa * yb - ya * xb
    sign = 1.0 if e0 + e1 + e2 >= 0 else -1.0
    m0, m1, m2 = sign * e0 > 0, sign * e1 > 0, sign * e2 > 0
    total = m0 * e0 + m1 * e1 + m2 * e2
    inverse = 1.0 / total if total != 0 else 0.0
    mean = (g0 * m0 * e0 + g1 * m1 * e1 + g2 * m2 * e2) * inverse
    h0, h1, h2 = m0 * (g0 - mean) * inverse, m1 * (g1 - mean) * inverse, m2 * (g2 - mean) * inverse
    add_corner(out, a, h2 * yb - h1 * yc, h1 * xc - h2 * xb, x, y)
    add_corner(out, b, h0 * yc - h2 * ya, h2 * xa - h0 * xc, x, y)
    add_corner(out, c, h1 * ya - h0 * yb, h0 * xb - h1 * xa, x, y)


@kernel
def add_corner(out: np.ndarray, vertex: np.uint32, gx: float, gy: float, x: float, y: float) -> None:
    """Add the gradient of one vertex's offsets from ndc (x, y) to out [V, 3] (x, y, w)."""
    out[vertex, 0] += gx
    out[vertex, 1] += gy
    out[vertex, 2] -= x * gx + y * gy


@kernel
def interpolate(
    start: int,
    stop: int,
    attributes: np.ndarray,
    faces: np.ndarray,
    face_id: np.ndarray,
    barycentrics: np.ndarray,
    out: np.ndarray,
) -> None:
    """attributes [B or 1, V, C] at the pixels of images start..stop: out [B, H W, C], zero in the background."""
    channels = attributes.shape[2]
    for i in range(start, stop):
        values = attributes[i if attributes.shape[0] > 1 else 0]
        for p in range(face_id.shape[1]):
            face = face_id[i, p] - 1
            target = out[i, p]
            if face < 0:
                for k in range(channels):
                    target[k] = 0
                continue
            b0, b1, b2 = barycentrics[i, p, 0], barycentrics[i, p, 1], barycentrics[i, p, 2]
            a, b, c = corners(faces, face)
            va, vb, vc = values[a], values[b], values[c]
            for k in range(channels):
                target[k] = b0 * va[k] + b1 * vb[k] + b2 * vc[k]


@kernel
def interpolate_backward_attributes(
    start: int,
    stop: int,
    faces: np.ndarray,
    face_id: np.ndarray,
    barycentrics: np.ndarray,
    grad: np.ndarray,
    out: np.ndarray,
) -> None:
    """Gradient [B, H W, C] of `interpolate` -> of the attributes, out [B, V, C], images start..stop."""
    for i in range(start, stop):
        values = out[i]
        values[:] = 0
        for p in range(face_id.shape[1]):
            face = face_id[i, p] - 1
            if face >= 0:
                b0, b1, b2 = barycentrics[i, p, 0], barycentrics[i, p, 1], barycentrics[i, p, 2]
                a, b, c = corners(faces, face)
                va, vb, vc = values[a], values[b], values[c]
                for k in range(grad.shape[2]):
                    g = grad[i, p, k]
                    va[k] += g * b0
                    vb[k] += g * b1
                    vc[k] += g * b2


@kernel
def interpolate_backward_barycentrics(
    start: int,
    stop: int,
    attributes: np.ndarray,
    faces: np.ndarray,
    face_id: np.ndarray,
    grad: np.ndarray,
    out: np.ndarray,
) -> None:
    """Gradient [B, H W, C] of `interpolate` -> of the barycentrics, out [B, H W, 3], images start..stop."""
    for i in range(start, stop):
        values = attributes[i if attributes.shape[0] > 1 else 0]
        for p in range(face_id.shape[1]):
            face = face_id[i, p] - 1
            g0 = g1 = g2 = grad.dtype.type(0)
            if face >= 0:
                a, b, c = corners(faces, face)
                va, vb, vc = values[a], values[b], values[c]
                for k in range(grad.shape[2]):
                    g = grad[i, p, k]
                    g0 += g * va[k]
                    g1 += g * vb[k]
                    g2 += g * vc[k]
            out[i, p, 0] = g0
            out[i, p, 1] = g1
            out[i, p, 2] = g2


@kernel
def interpolate_backward(
    start: int,
    stop: int,
    attributes: np.ndarray,
    faces: np.ndarray,
    face_id: np.ndarray,
    barycentrics: np.ndarray,
    grad: np.ndarray,
    grad_values: np.ndarray,
    grad_barycentrics: np.ndarray,
) -> None:
    """`interpolate_backward_attributes` and `interpolate_backward_barycentrics` in one pass over the gradient."""
    for i in range(start, stop):
        values, out = attributes[i if attributes.shape[0] > 1 else 0], grad_values[i]
        out[:] = 0
        for p in range(face_id.shape[1]):
            face = face_id[i, p] - 1
            g0 = g1 = g2 = grad.dtype.type(0)
            if face >= 0:
                b0, b1, b2 = barycentrics[i, p, 0], barycentrics[i, p, 1], barycentrics[i, p, 2]
                a, b, c = corners(faces, face)
                for k in range(grad.shape[2]):
                    g = grad[i, p, k]
                    g0 += g * values[a, k]
                    g1 += g * values[b, k]
                    g2 += g * values[c, k]
                    out[a, k] += g * b0
                    out[b, k] += g * b1
                    out[c, k] += g * b2
            grad_barycentrics[i, p, 0] = g0
            grad_barycentrics[i, p, 1] = g1
            grad_barycentrics[i, p, 2] = g2
