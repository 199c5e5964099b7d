import torch

from mfnet.render import (
    comparable_faces,
    covisible_by_geometry,
    covisible_by_landmarks,
    landmark_bounds,
    render_cross_view,
)


def test_bounds_enclose_the_landmarks_that_both_views_see():
    landmarks = torch.tensor([[[-0.5, 0.25], [0.0, -0.5], [0.9, 0.9]]])
    seen_a, seen_b = torch.tensor([[1.0, 1, 0]]), torch.tensor([[1.0, 1, 1]])
    mask = landmark_bounds(landmarks, seen_a, seen_b, 16, 16)[0]
    assert mask.sum() == 4 * 6
    assert mask[6:12, 4:8].all()  # rows from the top: y 0.25 .. -0.5; columns x -0.5 .. 0


def test_bounds_are_empty_without_common_landmarks():
    landmarks = torch.rand(2, 68, 2) - 0.5
    seen = torch.zeros(2, 68)
    seen[:, :30] = 1
    assert not landmark_bounds(landmarks, seen, 1 - seen, 16, 16).any()


def test_mouth_and_eyeballs_are_not_compared(head):
    everything = {"face": torch.ones_like(head.masks["face"])}  # official masks of the face hold the eyeballs
    for masks in (head.masks, head.masks | everything):
        chosen = comparable_faces(head.faces, masks)
        for region in ("lips", "mouth", "eyeballs"):
            touched = head.masks[region][head.faces].any(-1)
            assert not chosen[touched].any()
    chosen = comparable_faces(head.faces, head.masks)
    assert head.masks["face"][head.faces[chosen]].all()
    assert chosen.sum() > 500


def test_both_masks_lie_in_the_face_and_the_exact_one_in_what_a_sees(head):
    view_a, view_b = head.view(0.0), head.view(45.0)
    cross = render_cross_view(torch.ones(1, 3, 128, 128), view_a, view_b, head.faces, 128, 128)
    chosen = comparable_faces(head.faces, head.masks)
    exact = covisible_by_geometry(cross, chosen)
    everywhere = torch.tensor([[[-1.0, -1.0], [1.0, 1.0]]])
    rough = covisible_by_landmarks(cross.raster, chosen, everywhere, torch.ones(1, 2), torch.ones(1, 2))
    assert exact.sum() > 1500
    assert not (exact & ~rough).any()  # the boundless box is the projected face mask
    assert not (exact & ~cross.seen).any()
    shown = cross.raster.face_id[rough].long() - 1
    assert chosen[shown].all()


def test_the_far_cheek_is_covisible_with_the_frontal_view_only_where_it_shows(head):
    front, side = head.view(0.0), head.view(70.0)
    photo, chosen = torch.ones(1, 3, 128, 128), comparable_faces(head.faces, head.masks)
    onto_front = covisible_by_geometry(render_cross_view(photo, side, front, head.faces, 128, 128), chosen)[0]
    # Yaw 70 shows the subject's right, which is on the image's left in the frontal view.
    assert onto_front[:, :60].sum() > 3 * onto_front[:, 68:].sum()
