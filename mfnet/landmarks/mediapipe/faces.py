"""Photographs in, faces out: detectors first, then the mesh, twice; sideways and upside-down photographs too."""

from typing import NamedTuple

import numpy as np

from mfnet.landmarks.mediapipe.detector import OVERLAP, FaceBox, detect, overlap
from mfnet.landmarks.mediapipe.mesh import FaceMesh, locate
from mfnet.landmarks.mediapipe.networks import Networks, load_networks
from mfnet.landmarks.mediapipe.pyramid import Pyramid

LEAST_BOX = 0.5
"""Score of a box that is looked at."""
SURE_BOX = 0.8
"""Score from which a photograph is taken to stand upright. Faces on their side or head reach it rarely, and then their
mesh has no presence."""
PRESENCE = 0.5
"""Least presence of a face; MediaPipe's own."""
DISAGREEMENT = 0.15
"""Greatest mean distance of the detector's eyes, nose and mouth from the mesh's, as a share of the mesh's larger side.
Faces have up to 0.11; where the detector took a chance, or has the face upside down, it is 0.2 and more."""
SETTLED = np.deg2rad(3)
"""Change of the roll below which a mesh is not looked for again."""
PASSES = 4
"""Most passes of the mesh."""
MARGIN = 1.5
"""Side of the square that the mesh sees, over that of the face's box."""
TURNS = (np.pi / 2, -np.pi / 2, np.pi)
"""Other ways up."""
TILES = (2, 4)
"""Parts of the longer side for faces too small to be seen in the whole."""


class FoundFace(NamedTuple):
    """A face of a photograph."""

    mesh: FaceMesh
    box: FaceBox
    """As the detector saw it first."""


def find_faces(image: np.ndarray) -> list[FoundFace]:
    """The faces of an image (RGB uint8 [H, W, 3]), the largest first.

    Both detectors see the whole image. Where neither is sure, they see it turned by quarters as well, and each face is
    taken the way up in which its box is best; where there is none still, one sees parts of it.
    """
    networks, photo = load_networks(), Pyramid(image)
    boxes = _whole(networks, photo, 0.0)
    faces = _faces(networks, photo, boxes)
    if not any(face.box.score >= SURE_BOX for face in faces):
        faces = _faces(networks, photo, boxes + [box for turn in TURNS for box in _whole(networks, photo, turn)])
    for parts in TILES:
        if not faces:
            tiles = photo.tiles(parts)
            boxes = [box for tile in tiles for box in detect(networks.full_range, photo, tile, LEAST_BOX)]
            faces = _faces(networks, photo, boxes)
    return sorted(faces, key=lambda face: -face.mesh.side)


def _whole(networks: Networks, photo: Pyramid, turn: float) -> list[FaceBox]:
    """What both detectors see in the photograph, turned by an angle (radians)."""
    square = photo.whole._replace(angle=turn)
    return [
        box for each in (networks.full_range, networks.short_range) for box in detect(each, photo, square, LEAST_BOX)
    ]


def _faces(networks: Networks, photo: Pyramid, boxes: list[FaceBox]) -> list[FoundFace]:
    """The faces in boxes, each once, by its best box."""
    faces: list[FoundFace] = []
    for box in sorted(boxes, key=lambda box: -box.score):
        if any(overlap(box.corners, face.box.corners) > OVERLAP for face in faces):
            continue
        mesh = _settled(networks, photo, box)
        if mesh is None or mesh.distance(box.points[:4]) > DISAGREEMENT:
            continue
        if all(overlap(mesh.corners, face.mesh.corners) <= OVERLAP for face in faces):
            faces.append(FoundFace(mesh, box))
    return faces


def _settled(networks: Networks, photo: Pyramid, box: FaceBox) -> FaceMesh | None:
    """The mesh in the square round the box, then in the square round itself, until that stands upright; None where a
    pass sees no face."""
    roll, square = box.roll, box.crop(MARGIN)
    for number in range(PASSES):
        mesh = locate(networks.mesh, photo, square)
        if mesh.presence < PRESENCE:
            return None
        if number and abs(np.angle(np.exp(1j * (mesh.roll - roll)))) < SETTLED:
            break
        roll, square = mesh.roll, mesh.crop(MARGIN)
    return mesh
