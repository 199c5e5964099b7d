"""What a fit knows besides the 68 landmarks: MediaPipe's mesh, and expressions of each view's own."""

from dataclasses import replace

import pytest
import torch

from mfnet.errors import InputError
from mfnet.fitting.candidates import Candidates
from mfnet.fitting.evidence import Known, mesh_points, projected_mesh
from mfnet.fitting.noise import same_everywhere
from mfnet.fitting.person import FitChoices, Measured, fit_person
from mfnet.fitting.quality import residuals
from mfnet.flame import Flame
from mfnet.flame.makehuman import with_mesh
from tests.heads import open_head
from tests.losses.scenes import rendered_scene
from tests.settings import EMBEDDED, having

SETTINGS = having(EMBEDDED.refine, iterations=3, flow_iterations=1, spacing=8)


@pytest.fixture(scope="module")
def knowing() -> Flame:
    """The open head with the points that ship for it."""
    return Flame(with_mesh(open_head()), 100, 50)


@pytest.fixture(scope="module")
def scene():
    return rendered_scene()


@pytest.fixture(scope="module")
def mesh(knowing, scene):
    """Where the scene's person has the points."""
    return projected_mesh(knowing, Candidates.of(knowing, scene.truth[:1]))[0]


def test_the_points_of_the_shipped_head_lie_near_its_landmarks(knowing):
    """Pupils apart, tip of the nose and corners of the eyes are in both."""
    out = knowing(torch.zeros(1, 100), torch.zeros(1, 50), torch.zeros(1, 3))
    points = (out.vertices[0][knowing.dense_corners] * knowing.dense_weights[..., None]).sum(1)
    for dense, sparse in ((33, 36), (133, 39), (362, 42), (263, 45), (61, 48), (291, 54)):
        assert (points[dense] - out.landmarks_full[0, sparse]).norm() < 0.006
    assert points[4, 2] > points[:468, 2].quantile(0.98)


def test_views_turned_too_far_and_those_without_a_mesh_keep_the_68(knowing, mesh):
    points = mesh.clone()
    points[2] = torch.nan
    found = mesh_points(knowing, points, torch.tensor([0.0, 60, 10]))
    assert found is not None and found.believed.tolist() == [True, False, False]
    noise = Known(same_everywhere(SETTINGS, 3), found).believed_noise()
    assert noise.points[0].isinf().all() and noise.points[1:].isfinite().all() and noise.openings.isfinite().all()
    assert mesh_points(knowing, None, torch.zeros(3)) is None


def test_a_fit_to_the_mesh_brings_the_mesh_near(knowing, scene, mesh):
    measured = Measured(scene.batch.pixels()[0], scene.batch.landmarks[0], "mediapipe", mesh)
    fits = {
        points: fit_person(knowing, measured, None, None, SETTINGS, FitChoices("mean", points))
        for points in ("68", "auto")
    }
    assert [fits[name].points for name in ("68", "auto")] == [68, 478]
    off = {
        name: residuals(knowing, fit.prediction, measured.landmarks, mesh_points(knowing, mesh, torch.zeros(3))).mean()
        for name, fit in fits.items()
    }
    assert off["auto"] < 0.7 and off["auto"] < 0.7 * off["68"]
    assert fits["auto"].verdict == "good"


def test_points_that_cannot_be_had_are_refused(flame, scene):
    measured = Measured(scene.batch.pixels()[0], scene.batch.landmarks[0], "annotations")
    with pytest.raises(InputError, match="points: no 478"):
        fit_person(flame, measured, None, None, SETTINGS, FitChoices(points="478"))


def test_expressions_of_their_own_are_used_where_one_does_not_do(flame, scene):
    """The second view's mouth stands open."""
    person = scene.truth[:1].person
    open_jaw = person.jaw_pose + torch.tensor([[0.35, 0, 0]])
    apart = scene.truth[:1].per_view()
    jaw = torch.stack([person.jaw_pose, open_jaw, person.jaw_pose], 1)
    posed = replace(apart, person=replace(apart.person, jaw_pose=jaw))
    landmarks = Candidates.of(flame, posed).projected_landmarks()[0]
    for points, own in ((landmarks, True), (scene.batch.landmarks[0], False)):
        measured = Measured(scene.batch.pixels()[0], points, "annotations")
        fit = fit_person(flame, measured, None, None, having(SETTINGS, iterations=5), FitChoices("mean"))
        assert fit.own_expressions == own and fit.verdict == "good"
    fit = fit_person(flame, measured, None, None, SETTINGS, FitChoices("mean", expressions="per-view"))
    assert fit.prediction.person.expression.shape == (1, 3, 50) and fit.prediction.first_person.shape.shape == (1, 100)
