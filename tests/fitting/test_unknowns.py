"""The vector of unknowns stands for a prediction, and its candidates are the heads that the losses decode."""

import torch

from mfnet.fitting.candidates import Candidates
from mfnet.fitting.unknowns import Unknowns
from mfnet.model.projection import decode
from tests.losses.scenes import rendered_scene, with_codes


def test_the_start_is_the_networks_prediction_at_a_distance(flame):
    network = rendered_scene().disturbed(0.3)[:1]
    layout = Unknowns(network, False)
    start = layout.start(0.8)
    found, expected = layout.prediction(start[None]), network.with_inverse_distance(0.8)
    for name, value in found.named_tensors().items():
        torch.testing.assert_close(value, expected.named_tensors()[name], msg=name)
    assert len(start) == flame.n_shape + flame.n_expression + 3 + 3 * (3 + 3 + 1)


def test_constants_are_put_where_their_kind_is():
    layout = Unknowns(rendered_scene().truth[:1], False)
    found = layout.prediction(layout.constants(1.0, 2.0, 3.0, 4.0)[None])
    assert (found.person.shape == 1).all() and (found.person.expression == 1).all()
    assert (found.person.jaw_pose == 2).all() and (found.views.global_pose == 2).all()
    assert torch.equal(found.views.camera[0], 3 * layout.camera_unit) and (found.views.inverse_distance == 4).all()


def test_candidates_are_the_heads_that_losses_decode(flame):
    """Several vectors at once, each before cameras at distances of its own."""
    network = rendered_scene().truth[:1]
    layout = Unknowns(network, False)
    start = layout.start(0.8)
    vectors = start + 0.1 * torch.randn(2, len(start), generator=torch.Generator().manual_seed(0))
    prediction = layout.prediction(vectors)
    heads, expected = Candidates.of(flame, prediction), decode(flame, prediction)
    torch.testing.assert_close(heads.vertices, expected.vertices)
    torch.testing.assert_close(heads.projected_landmarks(), expected.landmarks)
    view, points = torch.tensor([2, 0]), torch.tensor([10, 20])
    projected = heads.project_in(view, heads.vertices[:, view, points])
    torch.testing.assert_close(projected, expected.projected[:, view, points, :2])
    still = with_codes(prediction, global_pose=torch.zeros_like(prediction.views.global_pose))
    assert not torch.allclose(Candidates.of(flame, still).vertices, heads.vertices, atol=1e-3)
