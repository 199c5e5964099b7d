"""The animatable head: what a viewer makes of the file is what the head model makes of the coefficients."""

import numpy as np
import pytest
import torch
import trimesh

from benchmarks.flame import random_head
from mfnet.errors import InputError
from mfnet.export.expressions import Coefficients, posed, read_expression
from mfnet.export.meshes import export_head
from mfnet.export.rig import CORRECTIVE, rigged_head, target_names, with_units
from mfnet.flame import Flame
from mfnet.flame.head import JOINT_NAMES
from mfnet.flame.makehuman import makehuman_units
from mfnet.geometry import uv_vertices
from tests.export.gltf import Opened
from tests.heads import open_flame

ARKIT = 52
CHART = np.zeros((8, 8, 3), np.uint8)


def codes(flame, seed=0):
    """Shape, expression and jaw of somebody."""
    draw = torch.Generator().manual_seed(seed)
    shape, expression = (torch.randn(count, generator=draw) for count in (flame.n_shape, flame.n_expression))
    return shape, 0.5 * expression, torch.tensor([0.2, 0.05, -0.03])


def decoded(flame, shape, expression, **poses) -> np.ndarray:
    poses = {name: pose[None] for name, pose in poses.items()}
    return flame(shape[None], expression[None], torch.zeros(1, 3), **poses).vertices[0].numpy()


@pytest.fixture(scope="module")
def flame():
    return open_flame()


@pytest.fixture(scope="module")
def other():
    """A head in FLAME's format without named units, with pose correctives that are not zero."""
    return Flame(random_head(vertices=200, faces=380, seed=2), 10, 6)


@pytest.fixture(scope="module")
def file(flame, tmp_path_factory):
    """A person's GLB, and what it shows."""
    path = tmp_path_factory.mktemp("rig") / "head.glb"
    rig = rigged_head(flame, *codes(flame))
    export_head(path, rig.vertices(), flame, CHART, rig)
    return Opened.of(path), path


def split(flame, vertices: np.ndarray) -> np.ndarray:
    """Vertices of the model at the places of the file's."""
    uv, uv_faces = flame.uv_map
    return vertices[uv_vertices(flame.faces, uv_faces, len(uv)).numpy()]


def test_the_file_opens_in_the_fitted_pose(flame, file):
    shape, expression, jaw = codes(flame)
    expected = split(flame, decoded(flame, shape, expression, jaw_pose=jaw))
    np.testing.assert_allclose(file[0].posed(), expected, atol=3e-6)


def test_all_weights_at_zero_and_no_rotation_are_the_neutral_face(flame, file):
    shape, expression, _ = codes(flame)
    expected = split(flame, decoded(flame, shape, 0 * expression))
    np.testing.assert_allclose(file[0].posed({}, {}), expected, atol=3e-6)
    seen = trimesh.load(file[1], force="mesh", process=False)
    np.testing.assert_allclose(seen.vertices, expected, atol=3e-6)


def test_the_skeleton_turns_what_the_head_model_turns(flame, file):
    """Neck, jaw and eyes, each about its joint: the open head has no pose correctives, so that skinning is all."""
    shape, expression, _ = codes(flame)
    neck, jaw, eyes = torch.tensor([0.1, 0.3, 0]), torch.tensor([0.3, 0, 0]), torch.tensor([0, 0.3, 0, 0.1, -0.2, 0])
    expected = decoded(flame, shape, 0 * expression, neck_pose=neck, jaw_pose=jaw, eye_pose=eyes)
    turns = {"neck": neck, "jaw": jaw, "left_eye": eyes[:3], "right_eye": eyes[3:]}
    found = file[0].posed({}, {name: turn.numpy() for name, turn in turns.items()})
    np.testing.assert_allclose(found, split(flame, expected), atol=3e-6)
    assert [file[0].gltf.nodes[joint].name for joint in file[0].gltf.skins[0].joints] == list(JOINT_NAMES)


def test_the_open_head_has_arkits_units(flame, file):
    names = file[0].names
    assert len(set(names) - {CORRECTIVE}) == ARKIT and set(names) - {CORRECTIVE} == set(target_names(flame))
    assert {"jawOpen", "mouthSmileLeft", "eyeBlinkRight", "tongueOut", "browInnerUp"} <= set(names)
    targets = dict(zip(names, file[0].targets(), strict=True))
    rest = file[0].attribute("POSITION")
    smile = targets["mouthSmileLeft"]
    assert (smile[:, 1] > 0.003).any() and rest[np.abs(smile).max(1) > 0.003, 0].min() > -0.01  # up, on the left
    assert targets["jawOpen"][:, 1].min() < -0.02 and np.abs(targets["eyeLookUpLeft"]).max() > 0.001


def test_a_whole_unit_is_what_the_column_says(flame):
    rig = with_units(rigged_head(flame, *codes(flame)), {"mouthPucker": 0.5})
    shape, expression, _ = codes(flame)
    expression = 0 * expression
    expression[makehuman_units().names.index("mouthPucker")] = 1.25
    np.testing.assert_allclose(rig.vertices(), decoded(flame, shape, expression), atol=1e-6)


def test_a_closed_mouth_over_open_teeth_is_two_units(flame):
    """The column that is two of ARKit's units needs them alone, but for joints that it moves by half a millimetre."""
    shape, expression, jaw = codes(flame)
    expression = 0 * expression
    expression[makehuman_units().names.index("mouthClose")] = 1.0
    rig = rigged_head(flame, shape, expression, 0 * jaw)
    weights = {name: weight for name, weight in zip(rig.names, rig.weights, strict=True) if weight}
    assert weights == pytest.approx({"jawOpen": 0.4, "mouthClose": 0.4})


def test_the_corrective_is_small(flame):
    rig = rigged_head(flame, *codes(flame))
    assert rig.names[-1] == CORRECTIVE
    lids = np.abs(rig.offsets[-1])
    assert np.median(lids) < 2e-5 and lids.max() < 5e-3  # the lids' part of the gaze


def test_a_head_of_another_format_has_numbered_units_and_keeps_its_correctives(other, tmp_path):
    shape, expression, jaw = codes(other)
    rig = rigged_head(other, shape, expression, jaw)
    export_head(tmp_path / "head.glb", rig.vertices(), other, None, rig)
    file = Opened.of(tmp_path / "head.glb")
    assert file.names == [*(f"expression_{number:03d}" for number in range(6)), CORRECTIVE]
    np.testing.assert_allclose(file.mesh.weights[:6], expression.numpy(), atol=1e-6)
    np.testing.assert_allclose(file.posed(), decoded(other, shape, expression, jaw_pose=jaw), atol=1e-5)


def test_weights_of_skinning_are_those_that_gltf_takes(other, file):
    for weights in (file[0].attribute("WEIGHTS_0"), rigged_head(other, *codes(other)).skinning):
        assert weights.min() >= 0 and ((weights > 0).sum(1) <= 4).all()
        np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)


def test_expressions_are_weights_by_name_or_another_persons_parameters(flame, tmp_path):
    shape, expression, jaw = codes(flame)
    fitted = Coefficients(expression, jaw)
    (tmp_path / "smile.json").write_text('{"mouthSmileLeft": 1, "jawOpen": 0.25}')
    smile = read_expression(tmp_path / "smile.json", flame)
    assert smile == {"mouthSmileLeft": 1.0, "jawOpen": 0.25}
    rig = posed(flame, shape, fitted, smile)
    assert rig.weights.sum() == 1.25 and not rig.jaw_pose.any() and CORRECTIVE not in rig.names
    still = posed(flame, shape, fitted, {})
    np.testing.assert_allclose(still.vertices(), decoded(flame, shape, 0 * expression), atol=1e-6)
    copied = posed(flame, shape, fitted, Coefficients(0.5 * expression, 0 * jaw))
    np.testing.assert_allclose(copied.vertices(), decoded(flame, shape, 0.5 * expression), atol=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", "not an expression"),
        ("{", "not JSON"),
        ('{"jawOpened": 1}', "'jawOpened' is no unit of this head"),
        ('{"jawOpen": "1"}', "field 'jawOpen' is not a number"),
        ('{"jawOpen": NaN}', "field 'jawOpen' is beyond 10"),
        ('{"format": "other"}', "field 'format'"),
        ('{"format": "mfnet parameters 1", "head": {"content_hash": "0"}}', "field 'head' is another head model"),
    ],
)
def test_expressions_that_are_none_are_refused_by_name(flame, tmp_path, text, message):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_expression(tmp_path / "a.json", flame)
    assert str(caught.value).startswith(str(tmp_path / "a.json"))
