"""A texture layout for heads without one."""

import numpy as np

from mfnet.flame.template import check_uv
from mfnet.locating.layout import cylindrical_layout
from tests.heads import open_head


def test_the_layout_is_one_that_readers_take_and_runs_round_the_head_once():
    head = open_head()
    lining = np.zeros(len(head.faces), bool)
    uv, uv_faces = cylindrical_layout(head.v_template, head.faces, lining)
    check_uv({"uv": uv, "uv_faces": uv_faces}, len(head.faces), "a")
    corners = uv[uv_faces]
    assert (np.ptp(corners[..., 0], axis=1) > 0.5).mean() < 1e-3  # none runs back across the seam but round the crown


def test_what_no_one_sees_lies_apart():
    head = open_head()
    lining = np.zeros(len(head.faces), bool)
    lining[:50] = True
    uv, uv_faces = cylindrical_layout(head.v_template, head.faces, lining)
    skin, hidden = (set(map(tuple, uv[uv_faces[rows]].reshape(-1, 2))) for rows in (~lining, lining))
    assert not skin & hidden
