"""The page of a head: whole in one file, and turned in a browser."""

import hashlib
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from mfnet.export.pictures import heat_colours
from mfnet.viewer.page import LIMIT_MM, PAGE, VIEWER, page, uncertainty_texture, write_page
from tests import node
from tests.heads import open_flame
from tests.test_reconstruct import face, folder, reconstructor  # noqa: F401  # fixtures


def picture(path) -> np.ndarray:
    """[H, W, 4] float."""
    return np.asarray(Image.open(path).convert("RGBA")).astype(float)


@pytest.mark.slow
def test_the_page_turns_the_head_in_a_browser_without_a_network(face, tmp_path):  # noqa: F811
    write_page(tmp_path / "head.html", face)
    report = node.run("turn.mjs", tmp_path / "head.html", tmp_path)
    assert not report["errors"]
    own = (tmp_path / "head.html").as_uri()
    assert all(url == own or url.startswith(("data:", "blob:")) for url in report["requests"])
    shown = {path.stem: picture(path) for path in tmp_path.glob("*.png")}
    front, turned = shown["front"], shown["turned"]
    head = front[..., 3] > 128
    assert 0.05 < head.mean() < 0.6  # the head, and around it nothing
    assert (head != head[:, ::-1]).mean() < 0.03 < (turned[..., 3] > 128).mean()
    assert (head != (turned[..., 3] > 128)).sum() > 0.08 * head.sum() and abs(report["orbit"]) > 0.5
    moved = np.abs(shown["jaw_open"] - front).max(-1) > 40
    rows = np.nonzero(head.any(1))[0]
    middle = (rows[0] + rows[-1]) // 2
    assert moved[middle:].sum() > 100 > moved[: middle - 20].sum()
    colours = shown["uncertainty"][head][:, :3].mean(0)
    assert colours[0] < colours[1] and np.ptp(shown["shape"][head][:, :3].mean(0)) < 25


def test_the_page_says_what_the_fit_is_worth(face):  # noqa: F811
    html = page(face)
    assert 'class="verdict good"' in html and html.count("<figure>") == 3
    assert "mouth smile left" in html and "fit corrective" not in html and "CC0-1.0" in html
    fast = page(replace(face, vertex_sigma_mm=None))
    assert 'value="uncertainty"' in html and 'value="uncertainty"' not in fast


def test_names_of_files_are_text_and_no_html(face, tmp_path):  # noqa: F811
    path = tmp_path / "<script>alert(1)<"
    html = page(replace(face, photographs=[replace(photograph, path=path) for photograph in face.photographs]))
    assert "&lt;script&gt;alert(1)&lt;" in html and "<script>alert" not in html


def test_equal_faces_make_equal_pages(face):  # noqa: F811
    assert page(face) == page(face)


def test_nothing_in_the_page_comes_from_elsewhere():
    text = PAGE.read_text(encoding="utf-8")
    assert not re.search(r"(src|href)=\"(?!\$)", text) and "//" not in text.replace("// The file's", "")
    assert "default-src 'none'" in text


def test_the_viewer_is_the_file_that_its_card_names():
    card = VIEWER.with_name("model-viewer.md").read_text(encoding="utf-8")
    content = VIEWER.read_bytes()
    assert hashlib.sha256(content).hexdigest() in card and f"{len(content):,} bytes" in card
    assert b"</script" not in content and b"<script" not in content  # it stands inside of one


def test_uncertainty_lies_where_the_vertices_do():
    flame = open_flame()
    uv, uv_faces = (part.numpy() for part in flame.uv_map)
    sigma = np.where(flame.masks["eyeballs"].numpy(), 0.0, LIMIT_MM)
    image = uncertainty_texture(flame, sigma)
    middle = uv[uv_faces].mean(1)
    size = len(image)
    at = image[((1 - middle[:, 1]) * size).astype(int), (middle[:, 0] * size).astype(int)].astype(float)
    low, high = (255 * heat_colours(np.array([value]), LIMIT_MM)[0].numpy() for value in (0.0, LIMIT_MM))
    eyes = flame.masks["eyeballs"].numpy()[flame.faces.numpy()].all(1)
    area = np.abs(np.cross(uv[uv_faces[:, 1]] - uv[uv_faces[:, 0]], uv[uv_faces[:, 2]] - uv[uv_faces[:, 0]]))
    large = area > 2 * (2 / size) ** 2  # over a few texels
    assert np.abs(at[eyes & large] - low).mean() < 8 and np.abs(at[~eyes & large] - high).mean() < 8
