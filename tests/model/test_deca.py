"""DECA: our network on DECA's weights against a plain re-assembly of DECA's encoder from torchvision's parts."""

import pickle

import pytest
import torch
import torchvision

from mfnet.errors import InputError
from mfnet.model.deca import pretrained_from_deca, read_deca
from mfnet.model.parameters import Prediction
from mfnet.model.pretrained import variants

# DECA's code, as its authors order it; written down again here on purpose.
DECA_ORDER = [("shape", 100), ("tex", 50), ("exp", 50), ("pose", 6), ("cam", 3), ("light", 27)]


class PlainDeca(torch.nn.Module):
    """DECA's E_flame: state dict names encoder.*, layers.0, layers.2."""

    def __init__(self):
        super().__init__()
        self.encoder = torchvision.models.resnet50()
        self.encoder.fc = torch.nn.Identity()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(2048, 1024), torch.nn.ReLU(), torch.nn.Linear(1024, sum(n for _, n in DECA_ORDER))
        )

    def forward(self, images):
        return self.layers(self.encoder(images))


@pytest.fixture(scope="module")
def plain():
    torch.manual_seed(0)
    return PlainDeca().eval()


@pytest.fixture(scope="module")
def checkpoint(plain, tmp_path_factory):
    path = tmp_path_factory.mktemp("deca") / "deca_model.tar"
    torch.save({"E_flame": plain.state_dict(), "E_detail": {"encoder.conv1.weight": torch.zeros(1)}}, path)
    return path


@pytest.fixture(scope="module")
def image():
    return torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def deca_params(small):
    return small(backbone="resnet50", width=1.0, pooling="global_average")


def deca_code(prediction: Prediction) -> torch.Tensor:
    """A prediction of one view as DECA's code [B, 236]; DECA's first light coefficient is ours times pi."""
    person, views = prediction.person, prediction.views
    light = views.light[:, 0] * torch.tensor([torch.pi] + [1.0] * 8)[:, None]
    parts = (views.albedo, views.global_pose, views.camera)
    albedo, pose, camera = (part[:, 0] for part in parts)
    return torch.cat([person.shape, albedo, person.expression, pose, person.jaw_pose, camera, light.flatten(1)], dim=1)


def test_single_view_gives_decas_236_numbers(plain, checkpoint, image, box_head, deca_params):
    params = variants(deca_params)["concat1"]
    model = pretrained_from_deca(checkpoint, params, box_head).model(params, box_head).eval()
    with torch.no_grad():
        torch.testing.assert_close(deca_code(model(image[:, None])), plain(image), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["concat2", "concat3", "set"])
def test_equal_views_give_decas_answer(plain, checkpoint, image, box_head, deca_params, name):
    params = variants(deca_params)[name]
    model = pretrained_from_deca(checkpoint, params, box_head).model(params, box_head).eval()
    with torch.no_grad():
        prediction = model(image[:, None].expand(-1, params.views, -1, -1, -1))
        code = dict(zip([n for n, _ in DECA_ORDER], plain(image).split([n for _, n in DECA_ORDER], dim=1), strict=True))
    torch.testing.assert_close(prediction.person.shape, code["shape"], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(prediction.person.expression, code["exp"], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(prediction.person.jaw_pose, code["pose"][:, 3:], rtol=1e-4, atol=1e-5)
    for view in range(params.views):
        torch.testing.assert_close(prediction.views.global_pose[:, view], code["pose"][:, :3], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(prediction.views.camera[:, view], code["cam"], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(prediction.views.albedo[:, view], code["tex"], rtol=1e-4, atol=1e-5)
        light = code["light"].unflatten(1, (9, 3)) / torch.tensor([torch.pi, *[1.0] * 8])[:, None]
        torch.testing.assert_close(prediction.views.light[:, view], light, rtol=1e-4, atol=1e-5)


def test_refuses_what_is_not_deca(checkpoint, box_head, small, deca_params, tmp_path):
    with pytest.raises(InputError, match=r"model\.backbone: resnet18 cannot start from DECA"):
        pretrained_from_deca(checkpoint, small(), box_head)
    box_head.n_shape = 300
    with pytest.raises(InputError, match=r"flame\.n_shape: 300 is more than the 100"):
        pretrained_from_deca(checkpoint, deca_params, box_head)
    with pytest.raises(InputError, match="no such file"):
        read_deca(tmp_path / "absent.tar")
    other = tmp_path / "other.tar"
    torch.save({"model": {}}, other)
    with pytest.raises(InputError, match="E_flame is missing"):
        read_deca(other)
    torch.save({"E_flame": {"layers.2.weight": torch.zeros(10, 1024)}}, other)
    with pytest.raises(InputError, match=r"E_flame\.layers\.0\.weight"):
        read_deca(other)


def test_refuses_a_missing_trunk_tensor(plain, box_head, deca_params, tmp_path):
    state = dict(plain.state_dict())
    del state["encoder.layer3.2.conv2.weight"]
    torch.save({"E_flame": state}, tmp_path / "deca.tar")
    with pytest.raises(InputError, match=r"E_flame\.encoder\.layer3\.2\.conv2\.weight .* is missing"):
        pretrained_from_deca(tmp_path / "deca.tar", deca_params, box_head)


class Trap:
    """Unpickling it writes a file."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return open, (str(self.marker), "w")


def test_runs_no_code_from_the_file(tmp_path):
    marker = tmp_path / "marker"
    with open(tmp_path / "trap.tar", "wb") as file:
        pickle.dump({"E_flame": Trap(marker)}, file)
    with pytest.raises(InputError, match="not a torch file of plain tensors"):
        read_deca(tmp_path / "trap.tar")
    torch.save({"E_flame": Trap(marker)}, tmp_path / "trap.tar")
    with pytest.raises(InputError, match="not a torch file of plain tensors"):
        read_deca(tmp_path / "trap.tar")
    assert not marker.exists()


ODD = {
    "an empty file": b"",
    "a tar": b"deca/\0" + bytes(2042),
    "no dictionary": [1],
    "nothing of it": {},
    "a number": {"E_flame": 3},
    "numbers for tensors": {"E_flame": {"layers.0.weight": 3}},
    "numbers for names": {"E_flame": {3: torch.zeros(2)}},
    "another network": {"E_flame": {"layers.0.weight": torch.zeros(2)}},
}


@pytest.mark.parametrize("name", ODD)
def test_a_file_that_is_not_decas_is_one_line(tmp_path, name, recwarn):
    path = tmp_path / "deca_model.tar"
    if isinstance(ODD[name], bytes):
        path.write_bytes(ODD[name])
    else:
        torch.save(ODD[name], path)
    with pytest.raises(InputError, match=r"deca_model\.tar: ") as caught:
        read_deca(path)
    assert "\n" not in str(caught.value) and not recwarn.list


def test_weights_that_are_not_finite_are_refused(plain, tmp_path):
    state = plain.state_dict() | {"layers.2.bias": torch.full((236,), float("nan"))}
    torch.save({"E_flame": state}, tmp_path / "deca_model.tar")
    with pytest.raises(InputError, match=r"layers\.2\.bias holds values that are not finite"):
        read_deca(tmp_path / "deca_model.tar")
