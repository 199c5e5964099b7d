"""Which pixels of a photograph are the person, so that no wall gets onto the head."""

import cv2
import numpy as np

SIDE = 256
"""Side of the picture that is cut, pixels."""
SURE, POSSIBLE = 0.08, 0.15
"""Inside the drawn outline by this share of the head's width is the person; outside by this, the background."""
ROUNDS = 3
"""Of GrabCut."""
SKIN = 3.5
"""Spreads of colour from the face's own within which a pixel of the drawn neck is skin, and no collar."""
LEAST_SPREAD = 4.0
"""Of a colour channel of the face, of 255."""
EDGE = 1
"""Pixels of SIDE that the person's outline is drawn in by: they mix both colours."""


def foreground(image: np.ndarray, cover: np.ndarray, face: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Where a photograph shows the person: [S, S] float32 in [0, 1].

    image [S, S, 3] uint8; cover [S, S] bool: the drawn head; face [S, S] bool: what of it is not its neck, which may be
    under a collar; inside [S, S] bool: within the photograph's borders.
    GrabCut (Rother et al. 2004) by the colours well inside the drawn face and well outside of the drawn head, and of
    what lies over the neck and is no skin; where there is nothing outside, all of the photograph is the person.
    """
    size = image.shape[:2]
    small = cv2.resize(extended(image, inside), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    drawn, skin, within = (
        cv2.resize(mask.astype(np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)
        for mask in (cover, face, inside)
    )
    marks = _marks(small, drawn, skin)
    if (marks == cv2.GC_FGD).any() and (marks == cv2.GC_BGD).any():
        cv2.setRNGSeed(0)
        models = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.grabCut(np.ascontiguousarray(small[..., ::-1]), marks, (0, 0, 1, 1), *models, ROUNDS, cv2.GC_INIT_WITH_MASK)
    person = np.isin(marks, (cv2.GC_FGD, cv2.GC_PR_FGD)) & (within > 0)
    person = cv2.erode(person.astype(np.uint8), np.ones((2 * EDGE + 1, 2 * EDGE + 1), np.uint8))
    return cv2.resize(person.astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR) * inside


def skin_tests(image: np.ndarray, face: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels [H, W] bool of an image [H, W, 3] uint8 in the hue of its pixels `face`, and pixels that are not brighter.

    By CIELAB, within SKIN spreads of the median. Darker is no sign: a neck lies in the chin's shadow.
    """
    lab = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2LAB).astype(np.float64)
    middle = np.median(lab[face], 0)
    spread = np.maximum(1.48 * np.median(np.abs(lab[face] - middle), 0), LEAST_SPREAD)
    off = (lab - middle) / spread
    return np.hypot(off[..., 1], off[..., 2]) < SKIN, off[..., 0] < SKIN


def extended(image: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """An image [H, W, 3] whose rows and columns outside of the photograph repeat its border."""
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    height, width = image.shape[:2]
    row = np.clip(np.arange(height), rows[0], rows[-1])
    column = np.clip(np.arange(width), columns[0], columns[-1])
    return image[row][:, column]


def _marks(image: np.ndarray, drawn: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """GrabCut's marks [SIDE, SIDE] by the distance from the outlines of the drawn head and of its face.

    Background is also what lies over the drawn neck in another hue or brighter, and what is brighter along the jaw:
    collars.
    """
    width = max(int(np.ptp(np.flatnonzero(drawn.any(0)))), 1) if drawn.any() else 1
    inner = cv2.distanceTransform(skin, cv2.DIST_L2, 3)
    outer = cv2.distanceTransform(1 - drawn, cv2.DIST_L2, 3)
    marks = np.where(drawn > 0, cv2.GC_PR_FGD, cv2.GC_PR_BGD)
    sure = inner > SURE * width
    marks[sure] = cv2.GC_FGD
    marks[outer > POSSIBLE * width] = cv2.GC_BGD
    if sure.any():
        hue, dark = skin_tests(image, sure)
        below = np.arange(SIDE)[:, None] > np.median(np.nonzero(sure)[0])
        neck, jaw = drawn > skin, (skin > 0) & ~sure & below
        marks[(neck & ~(hue & dark)) | (jaw & ~dark)] = cv2.GC_BGD
    return marks.astype(np.uint8)
