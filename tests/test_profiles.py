"""Profiles compose to complete params; what the docstrings generate is up to date; DVC edits a key."""

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from mfnet.params import Params, ParamsError, load_params
from mfnet.profiles import EMBEDDED, SCHEMA_LINE, compose, header, load_profile, render, write_profile
from scripts.document_params import generated, outdated, overlay_schema, schema, type_text

ROOT = Path(__file__).parents[1]
OVERLAYS = sorted((ROOT / "params").glob("*.yaml"))


@pytest.mark.parametrize("path", OVERLAYS, ids=lambda path: path.stem)
def test_every_overlay_and_every_variant_of_it_is_valid_and_holds_only_what_differs(path):
    params = load_profile(path)
    for name in params.ablation.variants:
        assert isinstance(params.variant(name), Params)
    said, base = yaml.safe_load(path.read_text()), yaml.safe_load(EMBEDDED.read_text())
    same = [
        f"{section}.{key}" for section in said for key, value in said[section].items() if base[section][key] == value
    ]
    assert same == []


def test_params_yaml_is_the_embedded_profile():
    assert load_params(ROOT / "params.yaml") == load_profile("embedded")
    assert header(ROOT / "params.yaml") == header(EMBEDDED)


def test_paper_has_the_papers_settings():
    params = load_profile(ROOT / "params" / "paper.yaml")
    loss = params.loss
    assert (loss.flow, loss.landmarks, loss.eye, loss.lip, loss.regularisation) == (1, 1, 1, 0.5, 1e-4)
    assert (params.train.lr, params.train.epochs, params.train.weight_decay) == (1e-3, 10, 0)
    assert (params.plan.triplets, params.model.backbone, params.model.fusion) == (36_000, "resnet50", "concat")


def test_nightly_is_the_embedded_profile_with_more_evidence():
    nightly, default = load_profile(ROOT / "params" / "nightly.yaml"), load_profile("embedded")
    assert len(nightly.ablation.seeds) >= 3 and set(nightly.ablation.run) > set(default.ablation.run)
    assert nightly.model_copy(update={"ablation": default.ablation, "report": default.report}) == default


def test_from_scratch_trains_what_is_shipped():
    """Seeds and steps are those in the shipped files."""
    from mfnet.io.tensors import read_tensors
    from mfnet.weights import bundled

    pretrained = load_profile(ROOT / "params" / "from-scratch.yaml").pretrained
    for network in ("encoder", "flow", "landmarks"):
        _, metadata = read_tensors(bundled(network), network)
        config = getattr(pretrained, network)
        assert (config.source, config.seed, config.steps) == ("train", metadata["seed"], metadata["steps"])


def test_writing_a_profile_says_what_changed_and_keeps_its_remarks(tmp_path):
    out = tmp_path / "params.yaml"
    changes = write_profile("nightly", out, ROOT / "params")
    assert changes[0] == "ablation.seeds: [6] -> [6, 7, 8]" and len(changes) == 3
    assert load_params(out) == load_profile("nightly", ROOT / "params")
    text = out.read_text()
    assert text.startswith(f"{SCHEMA_LINE}params.schema.json\n# The embedded synthetic profile with the whole ablation")
    assert "  # Peak learning rate.\n  lr: 0.0002\n" in text and max(map(len, text.splitlines())) <= 120
    changes = write_profile(ROOT / "params" / "paper.yaml", out)
    assert "pretrained.encoder.source: bundled -> file" in changes
    assert "pretrained.encoder.path: (none) -> licensed/deca/deca_model.tar" in changes
    assert "train.supervision.share: 0.5 -> (none)" in changes and "train.supervision: (none) -> null" in changes
    assert "ablation.seeds: [6, 7, 8] -> [6]" in changes
    assert write_profile(ROOT / "params" / "paper.yaml", out) == []
    assert "pretrained.encoder.path: licensed/deca/deca_model.tar -> (none)" in write_profile("embedded", out)
    assert out.read_text() == (ROOT / "params.yaml").read_text()
    assert list(tmp_path.iterdir()) == [out]


def test_a_file_that_is_none_is_not_overwritten(tmp_path):
    out = tmp_path / "params.yaml"
    out.write_text("no params")
    with pytest.raises(ParamsError, match=r"params\.yaml: expected a mapping"):
        write_profile("embedded", out)
    assert out.read_text() == "no params"


def test_unknown_profiles_and_faulty_overlays_are_named(tmp_path):
    known = "embedded, facescape, from-scratch, multiface, nersemble, nightly, paper, tiny"
    with pytest.raises(ParamsError, match=f"no such profile; known are {known}"):
        load_profile("papper", ROOT / "params")
    overlay = tmp_path / "mine.yaml"
    overlay.write_text("train: {lrr: 1.0}\npretrained: {flow: {source: file}}\n")
    with pytest.raises(ParamsError) as caught:
        load_profile("mine", tmp_path)
    for told in (str(overlay), "train.lrr: unknown key", "pretrained.flow.path: key is missing"):
        assert told in str(caught.value)
    with pytest.raises(ParamsError, match=r"^here: model\.width"):
        compose({"model": {"width": "wide"}}, "here")


def test_what_is_written_is_read_back(tmp_path):
    for path in [EMBEDDED, *OVERLAYS]:
        params = load_profile("embedded" if path == EMBEDDED else path)
        (tmp_path / "params.yaml").write_text(render(params, []))
        assert load_params(tmp_path / "params.yaml") == params


# ----------------------------------------------------------------------------------------------------------- generated


def test_comments_schemas_and_page_are_those_of_the_docstrings():
    assert not outdated(), "run python scripts/document_params.py"


def test_every_key_of_params_yaml_has_a_comment_above_it():
    text = (ROOT / "params.yaml").read_text()
    text, tables = re.subn(r"(  (?:variants|populations):\n)(?:    .*\n)+", r"\1", text)  # of entries by name
    assert tables == 2
    for above, line in pairwise(text.splitlines()):
        if line and not line.lstrip().startswith("#"):
            assert above.lstrip().startswith("#"), line


def test_an_outdated_file_is_found(tmp_path):
    for path, text in generated().items():
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(text)
    for path in OVERLAYS:
        (tmp_path / "params" / path.name).write_text(path.read_text())
    assert outdated(tmp_path) == []
    params = tmp_path / "params.yaml"
    params.write_text(params.read_text().replace("# Peak learning rate.", "# The rate."))
    (tmp_path / "docs" / "parameters.md").unlink()
    assert outdated(tmp_path) == [params, tmp_path / "docs" / "parameters.md"]


def test_the_schemas_of_editors_accept_what_is_shipped_and_see_faults():
    jsonschema = pytest.importorskip("jsonschema")
    whole = yaml.safe_load((ROOT / "params.yaml").read_text())
    jsonschema.validate(whole, schema())
    for path in OVERLAYS:
        jsonschema.validate(yaml.safe_load(path.read_text()), overlay_schema())
    for fault in ({"train": {"lrr": 1}}, {"train": {"lr": -1}}, {"pretrained": {"flow": {"source": "none"}}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(fault, overlay_schema())
    del whole["train"]["lr"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(whole, schema())


def test_types_in_words():
    assert type_text({"type": "integer", "minimum": 1}) == "integer >= 1"
    assert type_text({"anyOf": [{"type": "string"}, {"type": "null"}]}) == "string or null"
    assert type_text({"type": "array", "items": {"enum": ["a", "b"]}}) == "list of `a` or `b`"


# ----------------------------------------------------------------------------------------------------------------- DVC


def test_dvc_changes_keys_and_keeps_the_comments(tmp_path):
    """What `dvc exp run -S key=value` does to the file, by DVC's own function."""
    hydra = pytest.importorskip("dvc.utils.hydra")
    path = tmp_path / "params.yaml"
    before = (ROOT / "params.yaml").read_text()
    path.write_text(before)
    overrides = ["train.lr=0.5", "loss.camera_distance=null", "ablation.seeds=[6,7]", "train.supervision.skins=3"]
    hydra.apply_overrides(path, [*overrides, "train.precision=bf16-mixed", "pretrained.held_out.skins=2"])
    changed = load_params(path)
    assert changed.train.lr == 0.5 and changed.train.precision == "bf16-mixed" and changed.train.supervision.skins == 3
    assert changed.loss.camera_distance is None and changed.ablation.seeds == [6, 7]
    assert changed.ablation.variants == load_params(ROOT / "params.yaml").ablation.variants
    comments = [line for line in before.splitlines() if line.lstrip().startswith("#")]
    assert [line for line in path.read_text().splitlines() if line.lstrip().startswith("#")] == comments


def test_every_param_that_a_stage_lists_stands_in_the_file(monkeypatch):
    """Templates resolve, and a listed key that is absent would never re-run anything."""
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    repo = pytest.importorskip("dvc.repo")
    params = json.loads(load_params(ROOT / "params.yaml").model_dump_json())
    reads = {}
    with repo.Repo(str(ROOT)) as opened:
        for stage in opened.index.stages:
            keys = [key for dep in stage.deps if hasattr(dep, "params") for key in dep.params]
            reads[stage.addressing] = set(keys)
    assert {"train", "ablate@views-1-6", "pretrained@flow"} <= set(reads)
    for stage, keys in reads.items():
        for key in keys:
            value = params
            for part in key.split("."):
                assert part in value, f"{stage}: {key}"
                value = value[part]
    assert not any(key.startswith(("model", "supervised")) for key in reads["pretrained@flow"])
    assert {"model", "loss", "train", "sampler", "supervised"} <= reads["train"] and "refine" in reads["benchmark@lab"]
