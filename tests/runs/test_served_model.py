"""The model in MLflow: loaded in another folder, it gives what the network gives."""

import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from mlflow.entities import LoggedModelStatus

from mfnet import tracking
from mfnet.audit.hashing import file_md5
from mfnet.flame import Flame, write_head
from mfnet.io.images import to_float
from mfnet.model.mfnet import Crops, MFNet, load_mfnet, save_mfnet
from mfnet.runs.champion import Candidate
from mfnet.runs.registry import REASON
from mfnet.runs.sender import sync
from mfnet.runs.store import all_runs, client_at
from tests.flame.conftest import head  # noqa: F401
from tests.settings import CROP_SCALE, EMBEDDED, having

LOADED = """
import sys
import mlflow
import numpy as np

mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model(sys.argv[2])
np.savez("answer.npz", **model.predict(np.load("crops.npy")))
print(*model.metadata.signature.outputs.input_names())
"""


@pytest.mark.slow
def test_a_kept_model_is_loaded_elsewhere_and_answers_as_the_network(place, store, tmp_path, head):  # noqa: F811
    torch.manual_seed(0)
    params = having(EMBEDDED.model, views=3, width=0.25)
    flame = Flame(head, n_shape=10, n_expression=5)
    write_head(head, tmp_path / "head.npz")
    network = MFNet(params, flame, None).eval()
    save_mfnet(network, tmp_path / "model.safetensors", Crops(64, CROP_SCALE))
    crops = np.random.default_rng(0).integers(0, 256, (2, 3, 3, 64, 64), dtype=np.uint8)
    counts = {"n_shape": flame.n_shape, "n_expression": flame.n_expression}
    with tracking.run("pipeline", "train", {}, {}) as run:
        run.model({"model": tmp_path / "model.safetensors", "head": tmp_path / "head.npz"}, crops, counts, "heads")
        run.champion("heads", file_md5(tmp_path / "model.safetensors"), Candidate("CD", 2.0, "items", False), 0.0)
    sync(place)  # where a busy machine took longer than a stage waits
    (recorded,) = all_runs(store)
    models = client_at(store).search_logged_models([recorded.info.experiment_id])
    kept = next(model for model in models if model.status == LoggedModelStatus.READY)
    assert kept.source_run_id == recorded.info.run_id and "mfnet.refused" not in recorded.data.tags
    assert re.fullmatch(r"moved to version \d+: CD 2\.0000 mm, the first one with a figure", recorded.data.tags[REASON])
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    np.save(elsewhere / "crops.npy", crops)
    command = [sys.executable, "-c", LOADED, store, "models:/heads@champion"]
    said = subprocess.run(command, cwd=elsewhere, check=True, stdout=subprocess.PIPE, text=True).stdout
    assert {"vertices", "shape"} <= set(said.split())
    with np.load(elsewhere / "answer.npz") as answer, torch.no_grad():
        expected = load_mfnet(tmp_path / "model.safetensors", flame)(to_float(torch.from_numpy(crops)))
        np.testing.assert_allclose(answer["shape"], expected.person.shape.numpy(), atol=1e-5)
        assert answer["vertices"].shape == (2, len(head.v_template), 3) and answer["camera"].shape == (2, 3, 3)
