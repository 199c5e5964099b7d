"""Points on triangles."""

import numpy as np

from mfnet.locating.surface import barycentric, face_normals, nearest

VERTICES = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
FACES = np.array([[0, 1, 2], [0, 3, 1]])


def test_weights_of_a_point_inside_give_it_back():
    weights = np.array([[0.2, 0.3, 0.5]])
    point = weights @ VERTICES[FACES[0]]
    np.testing.assert_allclose(barycentric(point, VERTICES[FACES[:1]]), weights, atol=1e-9)
    assert (barycentric(np.array([[5.0, 5, 0]]), VERTICES[FACES[:1]]) >= 0).all()


def test_the_nearest_point_lies_on_an_allowed_triangle():
    found = nearest(np.array([[0.2, 0.2, 0.1], [0.2, 0.05, 0.3]]), VERTICES, FACES, np.array([0, 1]))
    assert found.faces.tolist() == [0, 1]
    np.testing.assert_allclose(found.on(VERTICES, FACES), [[0.2, 0.2, 0], [0.2, 0, 0.3]], atol=1e-9)
    assert nearest(np.array([[0.2, 0.05, 0.3]]), VERTICES, FACES, np.array([0])).faces.tolist() == [0]


def test_normals_are_of_length_one_or_zero():
    normals = face_normals(VERTICES, np.array([[0, 1, 2], [0, 0, 1]]))
    np.testing.assert_allclose(normals, [[0, 0, 1], [0, 0, 0]])
