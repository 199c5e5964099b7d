"""Named regions of the head's vertices."""

import numpy as np

from mfnet.flame.procedural.anatomy import EYE, ear_coordinates, lip_heights, mouth_line
from mfnet.flame.procedural.skinning import eye_centres
from mfnet.flame.procedural.topology import EYEBALL, MOUTH, SKIN, SOCKET, HeadMesh


def region_masks(mesh: HeadMesh) -> dict[str, np.ndarray]:
    """Boolean masks [V]; eyes are lids and eyeballs, mouth is the pocket behind the lips, face holds lips and lids."""
    p = mesh.vertices
    x, y, z = p.T
    skin = mesh.part == SKIN
    _, _, ear = ear_coordinates(p - np.column_stack([np.zeros_like(x), np.zeros_like(x), -0.004 * np.ones_like(x)]))
    ears = skin & (ear < 1.2) & (np.abs(x) > 0.060)
    hairline = y - 0.35 * (z - 0.03) > 0.078
    scalp = skin & ~ears & (hairline | ((z < -0.030) & (y > -0.055)))
    neck = skin & ~scalp & ~ears & ((y < -0.092) | ((z < -0.015) & (y < -0.055 - 0.5 * (z + 0.015))))
    face = skin & ~scalp & ~ears & ~neck
    near_eye = np.min(
        [np.sqrt(((p[:, :2] - c[:2]) ** 2 / np.array([0.019, 0.012]) ** 2).sum(-1)) for c in eye_centres()], axis=0
    )
    upper, lower = lip_heights(x)
    above = y - mouth_line(x)
    lips = face & (z > 0.03) & (np.abs(above) <= np.where(above > 0.0, upper, lower) * 1.02 + 1e-5) & (upper > 0.0)
    lips[mesh.lips.ravel()] = True
    return {
        "face": face,
        "eyes": (face & (near_eye < 1.0)) | (mesh.part == EYEBALL) | (mesh.part == SOCKET),
        "lips": lips,
        "nose": face
        & (np.abs(x) < 0.019)
        & (y < 0.030)
        & (y > -0.024)
        & (z > EYE[2])
        & (np.abs(x) < 0.009 + 0.4 * (0.030 - y)),
        "forehead": face & (y > 0.055),
        "neck": neck,
        "ears": ears,
        "scalp": scalp,
        "eyeballs": mesh.part == EYEBALL,
        "mouth": mesh.part == MOUTH,
    }
