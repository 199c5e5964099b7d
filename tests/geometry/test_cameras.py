import numpy as np
import torch

from mfnet.geometry import (
    PinholeCamera,
    clip_from_orthographic,
    clip_from_perspective,
    ndc_to_pixels,
    perspective_divisor,
    pixels_to_ndc,
    project_orthographic,
    project_perspective,
    reference_depth,
)
from mfnet.geometry.rotations import axis_angle_to_matrix


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def perspective_rig() -> PinholeCamera:
    K = torch.tensor([[[900.0, 0, 330], [0, 880, 250], [0, 0, 1]]], dtype=torch.float64).expand(2, 3, 3)
    R = axis_angle_to_matrix(random(2, 3, seed=1) * 0.3)
    t = torch.tensor([[0.01, 0.02, 1.0], [0.0, -0.03, 1.5]], dtype=torch.float64)
    return PinholeCamera(K, R, t, 640, 480, near=0.5, far=3.0)


def test_orthography_is_decas():
    points, camera = random(2, 7, 3), torch.tensor([[8.0, 0.1, -0.2], [5.0, 0, 0.3]], dtype=torch.float64)
    projected = project_orthographic(points, camera)
    for b in range(2):
        s, tx, ty = camera[b]
        torch.testing.assert_close(projected[b, :, 0], s * (points[b, :, 0] + tx))
        torch.testing.assert_close(projected[b, :, 1], s * (points[b, :, 1] + ty))
    clip = clip_from_orthographic(points, camera)
    torch.testing.assert_close(clip[..., :2], projected[..., :2])
    nearer, farther = points[:1, :1], points[:1, :1] - torch.tensor([0.0, 0.0, 0.1])
    assert clip_from_orthographic(nearer, camera[:1])[..., 2] < clip_from_orthographic(farther, camera[:1])[..., 2]
    assert project_orthographic(nearer, camera[:1])[..., 2] > project_orthographic(farther, camera[:1])[..., 2]


def test_the_scale_holds_at_the_landmarks_mean_depth():
    landmarks = random(2, 3, 68, 3)
    depth = reference_depth(landmarks)
    assert depth.shape == (2, 3)
    torch.testing.assert_close(depth[1, 2], landmarks[1, 2, :, 2].mean())
    divisor = perspective_divisor(landmarks[..., 2], depth[..., None], 1.5)
    torch.testing.assert_close(divisor.mean(-1), torch.ones_like(depth))


def test_orthography_takes_any_leading_axes():
    points, camera, divisor = random(2, 3, 7, 3), random(2, 3, 3, seed=1), 1 + random(2, 3, 7, seed=2)
    projected = project_orthographic(points, camera, divisor)
    flat = project_orthographic(points.flatten(0, 1), camera.flatten(0, 1), divisor.flatten(0, 1))
    assert torch.equal(projected.flatten(0, 1), flat)
    assert torch.equal(projected[1, 2], project_orthographic(points[1, 2], camera[1, 2], divisor[1, 2]))


def test_a_shrinking_orthography_is_a_pinhole_camera():
    """At distance d from the depth where s holds: focal length s d, seen from d metres before that depth."""
    points, camera = random(2, 7, 3) - 0.5, torch.tensor([[8.0, 0.1, -0.2], [5.0, 0, 0.3]], dtype=torch.float64)
    centre, distance = torch.tensor([[0.05], [-0.1]], dtype=torch.float64), 1.4
    divisor = perspective_divisor(points[..., 2], centre, 1 / distance)
    projected = project_orthographic(points, camera, divisor)
    K = torch.eye(3, dtype=torch.float64).repeat(2, 1, 1)
    K[:, [0, 1], [0, 1]] = camera[:, :1] * distance
    R = torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64)).expand(2, 3, 3)
    t = torch.stack([camera[:, 1], -camera[:, 2], distance + centre[:, 0]], -1)
    pixels, depth = project_perspective(points, PinholeCamera(K, R, t, 2, 2, near=0.1, far=10.0))
    torch.testing.assert_close(projected[..., :2], pixels * torch.tensor([1.0, -1.0]))
    torch.testing.assert_close(divisor, depth / distance)
    clip = clip_from_orthographic(points, camera, divisor)
    torch.testing.assert_close(clip[..., :2] / clip[..., 3:], projected[..., :2])
    flat = clip_from_orthographic(points, camera)
    torch.testing.assert_close(clip[..., 2] / clip[..., 3], flat[..., 2])
    assert torch.equal(perspective_divisor(points[..., 2], centre, 0.0), torch.ones(2, 7, dtype=torch.float64))


def test_perspective_agrees_with_opencv():
    import cv2

    points, camera = random(2, 9, 3) * 0.2 - 0.1, perspective_rig()
    pixels, depth = project_perspective(points, camera)
    K, R, t = camera[:3]
    for b in range(2):
        rotation = cv2.Rodrigues(R[b].numpy())[0]
        expected, _ = cv2.projectPoints(points[b].numpy(), rotation, t[b].numpy(), K[b].numpy(), np.zeros(4))
        np.testing.assert_allclose(pixels[b].numpy(), expected[:, 0], atol=1e-6)
        torch.testing.assert_close(depth[b], (points[b] @ R[b].T + t[b])[:, 2])


def test_clip_space_leads_to_the_same_pixels_and_bounds():
    points, camera = random(2, 9, 3) * 0.2 - 0.1, perspective_rig()
    pixels, depth = project_perspective(points, camera)
    clip = clip_from_perspective(points, camera)
    ndc = clip[..., :3] / clip[..., 3:]
    torch.testing.assert_close(ndc_to_pixels(ndc[..., :2], 640, 480), pixels)
    torch.testing.assert_close(clip[..., 3], depth)
    ends = torch.tensor([[[0, 0, 0.5], [0, 0, 3.0]]], dtype=torch.float64)
    eye, zero = torch.eye(3, dtype=torch.float64)[None], torch.zeros(1, 3, dtype=torch.float64)
    clip = clip_from_perspective(ends, camera._replace(K=camera.K[:1], R=eye, t=zero))[0]
    torch.testing.assert_close(clip[:, 2] / clip[:, 3], torch.tensor([-1.0, 1.0], dtype=torch.float64))


def test_a_cropped_camera_sees_the_same_things_beside_its_own_corner():
    points, camera = random(2, 9, 3) * 0.2 - 0.1, perspective_rig()
    part = camera.cropped(100, 40, 320, 200)
    assert (part.width, part.height) == (320, 200)
    whole, pixels = project_perspective(points, camera)[0], project_perspective(points, part)[0]
    torch.testing.assert_close(pixels, whole - torch.tensor([100.0, 40.0]))


def test_corners_of_the_image():
    corners = torch.tensor([[-1.0, 1.0], [1.0, -1.0], [0.0, 0.0]])
    pixels = ndc_to_pixels(corners, 640, 480)
    torch.testing.assert_close(pixels, torch.tensor([[0.0, 0.0], [640.0, 480.0], [320.0, 240.0]]))
    torch.testing.assert_close(pixels_to_ndc(pixels, 640, 480), corners)
