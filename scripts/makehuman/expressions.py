"""Expression columns out of the ARKit units, and those units whole that FLAME's joints take over."""

import numpy as np

from scripts.makehuman.mesh import HeadMesh
from scripts.makehuman.source import Source

UNIT_SHARE = 0.4
"""Of a whole unit per coefficient. The prior of the coefficients is N(0, 1): 2.5 sigma are the whole of a unit."""
OF_JOINTS = ("jawOpen", "tongueOut")
"""No columns: the jaw is a joint, and nobody sees the tongue."""
CLOSED = 0.78
"""Of MakeHuman's blink units, at which the lids of the mean head meet; at 1 the upper lies over the lower."""
GAZE = "eyeLook"
"""Units whose columns move the lids alone: eyeballs turn by their joints, and offsets would squash them."""


def column_names(source: Source) -> list[str]:
    """Units that become expression columns, in order."""
    return [name for name in source.unit_names if name not in OF_JOINTS]


def extra_names(source: Source) -> list[str]:
    """Units whose whole form differs from their column, for the export of morph targets."""
    return [n for n in source.unit_names if n in OF_JOINTS or n.startswith(GAZE) or n == "mouthClose"]


def whole_units(mesh: HeadMesh, source: Source, names: list[str]) -> np.ndarray:
    """[V, 3, N] metres at weight 1, left and right units exact images, all others symmetric."""
    image = np.array([-1.0, 1.0, 1.0])
    units = {name: mesh.operator @ source.dense(source.unit(name)) for name in source.unit_names}
    for name in ("eyeBlinkLeft", "eyeBlinkRight"):
        units[name] *= CLOSED
    paired = [0.5 * (units[name] + units[other_side(name)][mesh.mirror] * image) for name in names]
    return np.stack(paired, -1)


def columns(mesh: HeadMesh, source: Source) -> np.ndarray:
    """[V, 3, E] metres per coefficient.

    ARKit's mouthClose closes the lips of an open jaw and alone folds them up; its column is the two together, lips
    that meet over parted teeth.
    """
    names = column_names(source)
    units = whole_units(mesh, source, names)
    units[:, :, names.index("mouthClose")] += whole_units(mesh, source, ["jawOpen"])[:, :, 0]
    gaze = [k for k, name in enumerate(names) if name.startswith(GAZE)]
    units[np.ix_(mesh.part == "eye", range(3), gaze)] = 0.0
    return UNIT_SHARE * units


def other_side(name: str) -> str:
    """The unit of the other side: `mouthSmileLeft` of `mouthSmileRight`; a unit of both sides is its own."""
    for side, other in (("Left", "Right"), ("Right", "Left")):
        if name.endswith(side):
            return name.removesuffix(side) + other
    return name
