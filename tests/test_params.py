"""The schema refuses, by path, whatever is not in it; variants and overlays change what they name."""

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
import yaml

from mfnet.params import (
    EncoderTraining,
    FlowTraining,
    LandmarkCrops,
    Params,
    ParamsError,
    Section,
    SupervisionParams,
    load_params,
    overlaid,
)

ROOT = Path(__file__).parents[1]
PARAMS = ROOT / "params.yaml"


@pytest.fixture
def changed(tmp_path):
    """Write params.yaml with one change and return its path."""

    def write(change):
        raw = yaml.safe_load(PARAMS.read_text())
        change(raw)
        path = tmp_path / "changed.yaml"
        path.write_text(yaml.safe_dump(raw))
        return path

    return write


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda raw: raw["loss"].update(flw=1.0), "loss.flw: unknown key"),
        (lambda raw: raw.update(extra={}), "extra: unknown key"),
        (lambda raw: raw["plan"].pop("seed"), "plan.seed: key is missing"),
        (lambda raw: raw["train"].update(lr="1e-3"), "train.lr"),
        (lambda raw: raw["train"].update(batch_size=0), "train.batch_size"),
        (lambda raw: raw["train"].update(epochs=True), "train.epochs"),
        (lambda raw: raw["train"].update(launcher="torchrun; rm"), "train.launcher"),
        (lambda raw: raw["plan"].update(min_side_yaw=80.0, max_side_yaw=20.0), "min_side_yaw is greater"),
        (lambda raw: raw["loss"].update(flow_estimator="dis", flow_gradient="through"), "flow_gradient"),
        (lambda raw: raw["loss"].update(flow_estimator="raft_large"), "flow_estimator: raft_large has no weights"),
        (lambda raw: raw["landmarks"].update(annotations="x"), "annotations"),
        (lambda raw: raw["ablation"]["run"].remove("views-1"), "views-1 is missing"),
        (lambda raw: raw["ablation"]["run"].append("no-such"), "no-such"),
        (lambda raw: raw["ablation"]["variants"].update(bad={"loss": {"flw": 1}}), "ablation.variants.bad.loss.flw"),
        (lambda raw: raw["ablation"]["variants"].update(bad={"flame": {"seed": 1}}), "ablation.variants.bad.flame"),
        (lambda raw: raw["ablation"]["variants"].update(bad={"loss": {"flow": -1}}), "ablation.variants.bad.loss.flow"),
        (lambda raw: raw["ablation"]["variants"].update(bad={"train": {"launcher": "torchrun"}}), "bad.train.launcher"),
        (
            lambda raw: raw["ablation"]["variants"].update(bad={"loss": {"flow": None}}),
            "ablation.variants.bad.loss.flow",
        ),
        (
            lambda raw: raw["ablation"]["variants"].update(bad={"train": {"supervision": {"shar": 0.1}}}),
            "vision.shar: unk",
        ),
        (lambda raw: raw["train"].update(precision=32), "train.precision: input should be '32', 'bf16-mixed'"),
        (lambda raw: raw["pretrained"]["flow"].update(steps=3), "pretrained.flow.steps: unknown key"),
        (lambda raw: raw["pretrained"]["flow"].update(source="train"), "pretrained.flow.decay: key is missing"),
        (
            lambda raw: raw["pretrained"]["encoder"].update(source="deca"),
            "encoder.source: input should be one",
        ),
        (lambda raw: raw["pretrained"]["encoder"].pop("source"), "pretrained.encoder.source: key is missing"),
        (lambda raw: raw["pretrained"]["held_out"].pop("skins"), "pretrained.held_out.skins: key is missing"),
        (lambda raw: raw["sampler"].update(farthest=0.2), "sampler: nearest is greater than farthest"),
    ],
)
def test_faults_are_named_by_file_and_path(changed, change, told):
    path = changed(change)
    with pytest.raises(ParamsError) as caught:
        load_params(path)
    assert str(path) in str(caught.value) and told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["[1, 2", "- a\n- b\n", "", "a: [\x00"])
def test_files_that_are_no_params_end_in_one_line(tmp_path, text):
    path = tmp_path / "p.yaml"
    path.write_text(text)
    with pytest.raises(ParamsError, match=r"p\.yaml") as caught:
        load_params(path)
    assert "\n" not in str(caught.value)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ParamsError, match="no such file"):
        load_params(tmp_path / "none.yaml")


def test_a_variant_changes_what_it_names_and_nothing_else():
    params = load_params(PARAMS)
    variant = params.variant("no-lip")
    assert variant.loss.lip == 0
    assert variant.loss.model_copy(update={"lip": params.loss.lip}) == params.loss
    assert (variant.model, variant.train, variant.triplets) == (params.model, params.train, params.triplets)


def test_a_variant_can_set_any_key_that_training_reads_null_too(changed):
    variant = {
        "loss": {"camera_distance": None},
        "model": {"pooling": "global_average"},
        "train": {"supervision": {"share": 0.25}},
        "sampler": {"farthest": 2.0},
        "supervised": {"jaw": 0.1},
    }
    params = load_params(changed(lambda raw: raw["ablation"]["variants"].update(odd=variant, bare={"train": OFF})))
    odd = params.variant("odd")
    assert odd.loss.camera_distance is None and odd.model.pooling == "global_average"
    assert odd.train.supervision == params.train.supervision.model_copy(update={"share": 0.25})
    assert odd.sampler.farthest == 2.0 and odd.supervised.jaw == 0.1
    assert params.variant("bare").train.supervision is None


OFF = {"supervision": None}


def test_maps_are_merged_lists_and_other_sources_replace():
    base = {"a": {"b": [1, 2], "c": {"d": 1, "e": 2}}, "n": {"source": "x", "k": 1}, "variants": {"v": {"l": {"p": 1}}}}
    changes = {"a": {"b": [3], "c": {"d": None}}, "n": {"source": "y", "m": 1}, "variants": {"v": {"l": {"q": 1}}}}
    assert overlaid(base, changes) == {
        "a": {"b": [3], "c": {"d": None, "e": 2}},
        "n": {"source": "y", "m": 1},
        "variants": {"v": {"l": {"q": 1}}},
    }
    assert overlaid(base, {"n": {"source": "x", "k": 2}})["n"] == {"source": "x", "k": 2}
    assert overlaid({"a": None}, {"a": {"b": 1}}) == {"a": {"b": 1}}
    assert base["a"]["b"] == [1, 2] and base["n"]["k"] == 1


def test_raft_takes_crops_of_any_size(changed):
    """`mfnet.flow` pads what is smaller than RAFT's own least side."""
    loss = {"flow_estimator": "raft_small", "flow_gradient": "through"}
    path = changed(lambda raw: (raw["loss"].update(loss), raw["triplets"].update(image_size=64)))
    assert load_params(path).triplets.image_size == 64


def sections(annotation) -> Iterator[type[Section]]:
    """Every Section that an annotation reaches, through unions and lists too."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
        for field in annotation.model_fields.values():
            yield from sections(field.annotation)
    for argument in get_args(annotation):
        yield from sections(argument)


def test_every_field_is_described():
    found = set(sections(Params))
    assert {EncoderTraining, FlowTraining, LandmarkCrops, SupervisionParams} <= found
    for model in found:
        assert model.__doc__, model
        for name, field in model.model_fields.items():
            assert model is Params or field.description, f"{model.__name__}.{name}"


def test_no_key_has_a_default():
    """A params file is the whole record: a default would be a value that stands nowhere."""
    for model in set(sections(Params)):
        assert all(field.is_required() for field in model.model_fields.values()), model


def test_what_is_nested_without_end_is_refused_by_its_line(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("flame:\n  model: " + "[" * 20_000)
    with pytest.raises(ParamsError, match=r"params\.yaml: line 2: nested deeper"):
        load_params(path)
