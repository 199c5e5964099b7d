"""What a run says of files that others own."""

import pytest

from mfnet.flame.provenance import Provenance
from mfnet.licences import document, manifest, verdict
from mfnet.profiles import load_profile
from tests.settings import EMBEDDED, ROOT, having

FREE = Provenance("A head", "CC0-1.0", "Anna")
PAPER = load_profile(ROOT / "params" / "paper.yaml")
MADE = ("data/head", "data/multipie/landmarks.parquet")
NETWORKS = tuple(f"data/pretrained/{name}.safetensors" for name in ("encoder", "flow", "landmarks"))


def hashes(params) -> dict[str, str]:
    """As a whole pipeline's lock has them."""
    paths = (*MADE, *NETWORKS, params.source.archive_listing, params.source.facescape)
    return {path: f"{number:032x}" for number, path in enumerate(paths)}


def test_the_embedded_profile_may_be_shown():
    rows = manifest(EMBEDDED, FREE, hashes(EMBEDDED))
    names = [row.name for row in rows]
    assert names == ["makehuman", "encoder", "flow", "landmarks", "multipie", "facescape"]
    assert verdict(rows).may_show == "yes"
    assert rows[0].hash == f"md5 {0:032x}" and rows[0].attribution == "Anna" and rows[-1].licence.endswith("CC0-1.0")


def test_only_what_a_stage_stands_on_is_listed():
    assert [row.name for row in manifest(EMBEDDED, FREE, {"data/head": "0"})] == ["makehuman"]
    assert manifest(EMBEDDED, FREE, {}) == []


def test_what_the_owners_forbid_decides():
    rows = manifest(PAPER, Provenance("FLAME", "FLAME's own"), hashes(PAPER))
    said = verdict(rows)
    assert said.may_show == "no" and said.reason.endswith("multipie, facescape.")
    by_name = {row.name: row for row in rows}
    assert by_name["encoder"].edition == "deca_model.tar" and by_name["encoder"].licence == "DECA's own"
    assert by_name["flow"].licence.startswith("BSD-3-Clause, torchvision")
    fan = by_name["2DFAN4-11f355bf06.pth.tar"]
    assert fan.hash == "sha256 11f355bf06" and fan.may_show == "not declared"


def test_what_nobody_declares_is_named():
    silent = having(PAPER, licences=EMBEDDED.licences)
    said = verdict(manifest(silent, FREE, hashes(silent)))
    assert (
        said.may_show == "not declared" and "multipie, facescape" in said.reason and "generic_model" not in said.reason
    )


def test_a_word_of_the_user_stands_over_what_is_known():
    licences = having(EMBEDDED.licences, declared={"flow": "MIT, us", "encoder": "ours"}, may_show={"multipie": False})
    rows = {row.name: row for row in manifest(having(EMBEDDED, licences=licences), FREE, hashes(EMBEDDED))}
    assert (rows["flow"].licence, rows["flow"].may_show) == ("MIT, us", "yes")
    assert (rows["encoder"].licence, rows["encoder"].may_show) == ("ours", "not declared")
    assert rows["multipie"].may_show == "no"
    assert document(list(rows.values()))["verdict"]["may_show"] == "no"


@pytest.mark.parametrize(
    ("licence", "declared", "shown"),
    [
        ("CC-BY-4.0", "", "yes"),
        ("CC-BY-NC-4.0", "", "not declared"),
        ("BSD-3-Clause; trained on what is not free", "", "not declared"),
        ("CC0-1.0", "no", "no"),
        ("the owner's own", "yes", "yes"),
    ],
)
def test_a_head_may_be_shown_as_its_owner_or_licence_says(licence, declared, shown):
    head = Provenance("A head", licence, may_show=declared)
    assert head.shown == shown and head.declaration()["may_show"] == shown
    (row,) = manifest(EMBEDDED, head, {"data/head": "0"})
    assert row.may_show == shown
