"""The schema accepts every shipped file and refuses, by path, whatever is not in it."""

from pathlib import Path

import pytest
import yaml

from mfnet.params import Params, ParamsError, Section, load_params

ROOT = Path(__file__).parents[1]
SHIPPED = [ROOT / "params.yaml", *sorted((ROOT / "params").glob("*.yaml"))]


@pytest.fixture
def changed(tmp_path):
    """Write params.yaml with one change and return its path."""

    def write(change):
        raw = yaml.safe_load(SHIPPED[0].read_text())
        change(raw)
        path = tmp_path / "changed.yaml"
        path.write_text(yaml.safe_dump(raw))
        return path

    return write


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_shipped_files_are_valid_and_so_is_every_variant(path):
    params = load_params(path)
    for name in params.ablation.variants:
        assert isinstance(params.variant(name), Params)


def test_paper_has_the_papers_settings():
    params = load_params(ROOT / "params" / "paper.yaml")
    loss = params.loss
    assert (loss.flow, loss.landmarks, loss.eye, loss.lip, loss.regularisation) == (1, 1, 1, 0.5, 1e-4)
    assert (params.train.lr, params.train.epochs, params.train.weight_decay) == (1e-3, 10, 0)
    assert (params.plan.triplets, params.model.backbone, params.model.fusion) == (36_000, "resnet50", "concat")


def test_nightly_is_the_default_with_more_evidence():
    nightly, default = load_params(ROOT / "params" / "nightly.yaml"), load_params(ROOT / "params.yaml")
    assert len(nightly.ablation.seeds) >= 3 and set(nightly.ablation.run) > set(default.ablation.run)
    assert nightly.model_copy(update={"ablation": default.ablation, "report": default.report}) == default


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda raw: raw["loss"].update(flw=1.0), "loss.flw: unknown key"),
        (lambda raw: raw.update(extra={}), "extra: unknown key"),
        (lambda raw: raw["plan"].pop("seed"), "plan.seed: key is missing"),
        (lambda raw: raw["train"].update(lr="1e-3"), "train.lr"),
        (lambda raw: raw["train"].update(batch_size=0), "train.batch_size"),
        (lambda raw: raw["train"].update(epochs=True), "train.epochs"),
        (lambda raw: raw["plan"].update(min_side_yaw=80.0, max_side_yaw=20.0), "min_side_yaw is greater"),
        (lambda raw: raw["loss"].update(flow_estimator="dis", flow_gradient="through"), "flow_gradient"),
        (lambda raw: raw["loss"].update(flow_estimator="raft_large"), "flow_estimator: raft_large has no weights"),
        (lambda raw: raw["landmarks"].update(annotations="x"), "annotations"),
        (lambda raw: raw["ablation"]["run"].remove("views-1"), "views-1 is missing"),
        (lambda raw: raw["ablation"]["run"].append("no-such"), "no-such"),
        (lambda raw: raw["ablation"]["variants"].update(bad={"loss": {"flw": 1}}), "ablation.variants.bad.loss.flw"),
        (lambda raw: raw["ablation"]["variants"].update(bad={"flame": {"seed": 1}}), "ablation.variants.bad.flame"),
        (lambda raw: raw["ablation"]["variants"].update(bad={"loss": {"flow": -1}}), "loss.flow"),
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
    params = load_params(SHIPPED[0])
    variant = params.variant("no-lip")
    assert variant.loss.lip == 0
    assert variant.loss.model_copy(update={"lip": params.loss.lip}) == params.loss
    assert (variant.model, variant.train, variant.triplets) == (params.model, params.train, params.triplets)


def test_a_variant_can_set_a_key_to_null(changed):
    path = changed(lambda raw: raw["ablation"]["variants"].update(far={"loss": {"camera_distance": None}}))
    assert load_params(path).variant("far").loss.camera_distance is None


def test_raft_takes_crops_of_any_size(changed):
    """`mfnet.flow` pads what is smaller than RAFT's own least side."""
    loss = {"flow_estimator": "raft_small", "flow_gradient": "through"}
    path = changed(lambda raw: (raw["loss"].update(loss), raw["triplets"].update(image_size=64)))
    assert load_params(path).triplets.image_size == 64


def test_every_field_is_described():
    def sections(model):
        yield model
        for field in model.model_fields.values():
            if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
                yield from sections(field.annotation)

    for model in sections(Params):
        assert model.__doc__, model
        for name, field in model.model_fields.items():
            if not (isinstance(field.annotation, type) and issubclass(field.annotation, Section)):
                assert field.description, f"{model.__name__}.{name}"
