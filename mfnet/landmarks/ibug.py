"""The 68 landmarks of iBUG's 300-W mark-up, as indices: left and right are the subject's.

0-16 contour, ear to ear from the subject's right; 17-21 and 22-26 brows; 27-30 bridge and 31-35 base of the nose; 36-41
right and 42-47 left eye; 48-59 outer and 60-67 inner lips.
"""

N_CONTOUR = 17
"""Points of the contour, which comes first; where they lie on the head depends on the view."""
N_STATIC = 51
"""The others, brows to mouth: fixed points of the head."""
N_LANDMARKS = N_CONTOUR + N_STATIC

MIRRORED = [
    *(16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),  # contour
    *(26, 25, 24, 23, 22, 21, 20, 19, 18, 17),  # brows
    *(27, 28, 29, 30, 35, 34, 33, 32, 31),  # nose
    *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),  # eyes
    *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55),  # outer lips
    *(64, 63, 62, 61, 60, 67, 66, 65),  # inner lips
]
"""For each point, the one at its place in a mirror."""

RIGHT_EYE, LEFT_EYE = range(36, 42), range(42, 48)
"""Corners and lids of each eye."""
EYE_PAIRS = ((37, 41), (38, 40), (43, 47), (44, 46))
"""(upper, lower) points that lie opposite each other: right eye, then left. Corners (36, 39, 42, 45) have no
counterpart."""
LIP_PAIRS = ((61, 67), (62, 66), (63, 65))
"""(upper, lower) inner lip, from the subject's right to the left. Mouth corners have no counterpart."""
