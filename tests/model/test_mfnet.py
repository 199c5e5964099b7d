"""MFNet: shapes, one person from several views, missing views, files that belong to a head."""

import pytest
import torch

from mfnet.errors import InputError
from mfnet.io.tensors import read_metadata, read_tensors, write_tensors
from mfnet.model.mfnet import Crops, MFNet, crop_camera, load_mfnet, neutral_landmarks, read_crops, save_mfnet
from tests.settings import CROP_SCALE

CROPS = Crops(96, CROP_SCALE)


def images(batch, views, seed=0):
    return torch.rand(batch, views, 3, 96, 96, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("fusion", "views"), [("concat", 1), ("concat", 2), ("concat", 3), ("set", 3)])
def test_shapes(box_head, small, fusion, views):
    torch.manual_seed(0)
    prediction = MFNet(small(fusion=fusion, views=views), box_head, CROP_SCALE).eval()(images(2, views))
    assert {name: tuple(value.shape) for name, value in prediction.named_tensors().items()} == {
        "shape": (2, 100),
        "expression": (2, 50),
        "jaw_pose": (2, 3),
        "global_pose": (2, views, 3),
        "camera": (2, views, 3),
        "inverse_distance": (2, views),
        "albedo": (2, views, 50),
        "light": (2, views, 9, 3),
    }


def test_untrained_network_shows_a_frontal_head_that_fills_the_crop(box_head, small):
    torch.manual_seed(0)
    prediction = MFNet(small(), box_head, CROP_SCALE).eval()(images(1, 3))
    assert prediction.views.global_pose.abs().max() < 0.05
    assert prediction.person.shape.abs().max() < 0.1
    landmarks = box_head(prediction.person.shape).landmarks[0, :, :2]
    camera = crop_camera(neutral_landmarks(box_head, (0.0,)), CROP_SCALE)[0]
    ndc = camera[0] * (landmarks + camera[1:])
    torch.testing.assert_close(ndc.abs().max(), torch.tensor(1 / CROP_SCALE))
    torch.testing.assert_close(prediction.views.camera[0, 0], camera, rtol=0.02, atol=0.001)


def test_features_rest_where_the_mean_head_is_in_each_slot(box_head, small):
    """Frontal, left (yaw < 0), right: the head model's own landmarks, centred in a crop that leaves a margin."""
    torch.manual_seed(0)
    model = MFNet(small(pooling="spatial", fusion="concat"), box_head, CROP_SCALE)
    located = model.encoder.located(model.person_regressor.first.centre.unflatten(0, (3, -1)))
    torch.testing.assert_close(located.abs().amax(dim=(1, 2)), torch.full((3,), 1 / CROP_SCALE))
    zeros, pose = torch.zeros(3, 100), torch.tensor([[0, 0, 0], [0, -torch.pi / 4, 0], [0, torch.pi / 4, 0]])
    turned = box_head(zeros, zeros[:, :50], pose).landmarks[..., :2]

    def form(points):
        centred = points - points.mean(dim=1, keepdim=True)
        return centred / centred.norm(dim=(1, 2), keepdim=True)

    torch.testing.assert_close(form(located), form(turned), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(located[:1], model.encoder.located(model.view_regressor.first.centre[None]))


def test_every_output_has_a_gradient_to_the_images(box_head, small):
    torch.manual_seed(0)
    model = MFNet(small(), box_head, CROP_SCALE).eval()
    batch = images(1, 3).requires_grad_()
    predicted = model(batch).named_tensors()
    assert not predicted.pop("inverse_distance").any()  # scaled orthography
    for name, value in predicted.items():
        (gradient,) = torch.autograd.grad(value.sum(), batch, retain_graph=True)
        assert gradient.abs().amax(dim=(0, 2, 3, 4)).min() > 0, name  # from every view


def test_missing_views_are_not_looked_at(box_head, small):
    torch.manual_seed(0)
    model = MFNet(small(fusion="set"), box_head, CROP_SCALE).eval()
    batch = images(2, 3)
    present = torch.tensor([[True, True, False], [True, True, False]])
    hidden = batch.clone()
    hidden[:, 2] = torch.nan
    prediction = model(hidden, present)
    expected = model(batch[:, :2])
    torch.testing.assert_close(prediction.person.shape, expected.person.shape)
    torch.testing.assert_close(prediction.views.camera[:, :2], expected.views.camera)


def test_views_do_not_disturb_each_others_pose(box_head, small):
    torch.manual_seed(0)
    model = MFNet(small(), box_head, CROP_SCALE).eval()
    batch, changed = images(1, 3), images(1, 3)
    changed[:, 1] = 0
    a, b = model(batch), model(changed)
    torch.testing.assert_close(a.views.global_pose[:, [0, 2]], b.views.global_pose[:, [0, 2]])
    assert not torch.equal(a.person.shape, b.person.shape)


def test_file_round_trip_is_exact_and_reproducible(box_head, small, tmp_path):
    torch.manual_seed(0)
    model = MFNet(small(), box_head, CROP_SCALE).eval()
    save_mfnet(model, tmp_path / "a.safetensors", CROPS)
    loaded = load_mfnet(tmp_path / "a.safetensors", box_head)
    save_mfnet(loaded, tmp_path / "b.safetensors", CROPS)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert not loaded.training and read_crops(tmp_path / "b.safetensors") == CROPS
    torch.testing.assert_close(loaded(images(1, 3)).person.shape, model(images(1, 3)).person.shape, rtol=0, atol=0)


def test_a_model_says_whose_its_head_is(box_head, small, tmp_path):
    path = tmp_path / "model.safetensors"
    save_mfnet(MFNet(small(), box_head, CROP_SCALE), path, CROPS)
    said, metadata = box_head.provenance, read_metadata(path, "mfnet")
    assert [metadata[f"head_{name}"] for name in ("edition", "licence", "attribution")] == [
        said.edition,
        said.licence,
        said.attribution,
    ]


def test_a_model_from_before_heads_had_an_owner_is_read(box_head, small, tmp_path):
    path = tmp_path / "model.safetensors"
    save_mfnet(MFNet(small(), box_head, CROP_SCALE), path, CROPS)
    state, metadata = read_tensors(path, "mfnet")
    older = {name: value for name, value in metadata.items() if name not in ("head_edition", "head_licence")}
    write_tensors(state, path, older)
    load_mfnet(path, box_head)


def test_refuses_another_head_and_other_counts(box_head, other_head, small, tmp_path):
    path = tmp_path / "model.safetensors"
    save_mfnet(MFNet(small(), box_head, CROP_SCALE), path, CROPS)
    with pytest.raises(InputError, match=r"model\.safetensors: head_hash is aaaa.*has bbbb"):
        load_mfnet(path, other_head)
    box_head.n_shape = 60
    with pytest.raises(InputError, match=r"n_shape is 100, the head in use has 60"):
        load_mfnet(path, box_head)


def test_refuses_damaged_and_foreign_files(box_head, small, tmp_path):
    path = tmp_path / "model.safetensors"
    with pytest.raises(InputError, match="no such file"):
        load_mfnet(path, box_head)
    save_mfnet(MFNet(small(), box_head, CROP_SCALE), path, CROPS)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="not a readable safetensors file"):
        load_mfnet(path, box_head)
    write_tensors({"a": torch.zeros(1)}, path, {"kind": "mfnet", "crops": {"image_size": 96}})
    with pytest.raises(InputError, match=r"model\.safetensors: its metadata do not name the crops"):
        read_crops(path)
    write_tensors({"a": torch.zeros(1)}, path, {"kind": "flow"})
    with pytest.raises(InputError, match="holds flow, expected mfnet"):
        load_mfnet(path, box_head)
