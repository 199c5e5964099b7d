"""The three pre-trainings: a short run lowers the loss and can be repeated; figures and losses mean what they say."""

import numpy as np
import pytest
import torch

from mfnet.flame import Flame
from mfnet.flow import DisFlow
from mfnet.geometry import axis_angle_to_matrix, project_orthographic
from mfnet.landmarks.ibug import N_LANDMARKS
from mfnet.landmarks.network import CELLS, SIDE
from mfnet.losses.supervised import FaceLosses, aligned, project, split_points
from mfnet.model.parameters import Person, Prediction
from mfnet.model.pretrained import PretrainedNetwork
from mfnet.params import LandmarkCrops
from mfnet.pretraining import encoder as pretrain_encoder
from mfnet.pretraining import flow as pretrain_flow
from mfnet.pretraining import landmarks as pretrain_landmarks
from mfnet.pretraining import loop as descent
from mfnet.pretraining.figures import by_yaw
from mfnet.pretraining.flow import FlowPairs
from mfnet.pretraining.landmarks import landmark_loss, without_face
from tests.heads import open_head
from tests.losses.scenes import with_codes
from tests.settings import CROP_SCALE, FROM_SCRATCH, having

SMALL = having(FROM_SCRATCH.model, width=0.25, fusion="concat", n_albedo=5)
PARAMS = having(FROM_SCRATCH, model=SMALL)
ENCODER = having(FROM_SCRATCH.pretrained.encoder, seed=0, subjects=24, size=96, skins=2, skin_size=64, batch=8)
LANDMARKS = having(
    FROM_SCRATCH.pretrained.landmarks,
    seed=0,
    crops=[LandmarkCrops(scale=1.4, jitter=0.05, subjects=12)],
    skins=2,
    skin_size=64,
    batch=16,
    width=16,
)
WEIGHTS = ENCODER.regressor_weights.model_dump()


def measured_on(seed: int, size: int, **people: int):
    """PARAMS whose networks are measured on so many people, or pairs, of a seed, in crops of `size` pixels."""
    sources = {name: having(getattr(PARAMS.pretrained, name), seed=seed) for name in ("encoder", "flow", "landmarks")}
    held_out = having(PARAMS.pretrained.held_out, **people)
    pretrained = having(PARAMS.pretrained, held_out=held_out, **sources)
    return having(PARAMS, pretrained=pretrained, triplets=having(PARAMS.triplets, image_size=size))


def face_losses(flame) -> FaceLosses:
    return FaceLosses(flame, PARAMS.supervised)


@pytest.fixture(scope="module")
def flame():
    return Flame(open_head(), 20, 10)


@pytest.fixture(scope="module")
def pool(flame):
    sampler = pretrain_encoder.training_sampler(flame, PARAMS, ENCODER, 0)
    return pretrain_encoder.sample_pool(sampler, 0, 6, "test")


def as_prediction(sample) -> Prediction:
    """The truth of a sample as a network would say it."""
    return Prediction(sample.person, sample.views)


# ------------------------------------------------------------------------------------------------------------- encoder


def test_encoder_training_learns_and_repeats(flame, tmp_path):
    torch.set_num_threads(1)
    start, losses = pretrain_encoder.pretrain_encoder(PARAMS, having(ENCODER, steps=40), flame, tmp_path)
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    config = having(ENCODER, steps=3)
    runs = [pretrain_encoder.pretrain_encoder(PARAMS, config, flame, tmp_path)[0] for _ in range(2)]
    once, again = (run.state_dict() for run in runs)
    assert all(torch.equal(once[name], again[name]) for name in once)
    assert not start.training


def test_regressors_are_trained_anew_while_the_encoder_rests(flame, pool):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network, losses = PretrainedNetwork(SMALL, flame, CROP_SCALE), face_losses(flame)
    before = {name: value.clone() for name, value in network.encoder.state_dict().items()}
    found = {}
    for steps in (1, 300):
        config = having(ENCODER, subjects=50, steps=steps, refit=1.0)
        fresh = pretrain_encoder.refit(network, flame, PARAMS, config).eval()
        assert all(torch.equal(value, before[name]) for name, value in fresh.encoder.state_dict().items())
        with torch.no_grad():
            found[steps] = losses(fresh(pool.images.float() / 255), pool, WEIGHTS)
    assert found[300] < 0.9 * found[1]  # 0.81; after 60 steps 0.89 to 0.91 by the number of threads


def test_both_phases_see_as_many_people_as_the_config_says(flame, monkeypatch):
    drawn = []
    draw = pretrain_encoder.Sampler.sample

    def counted(self, rng, count, views):
        drawn.append(count)
        return draw(self, rng, count, views)

    monkeypatch.setattr(pretrain_encoder.Sampler, "sample", counted)
    config = having(ENCODER, subjects=7, steps=1, refit=1.0)
    pretrain_encoder.refit(PretrainedNetwork(SMALL, flame, CROP_SCALE), flame, PARAMS, config)
    assert drawn == [7]


def test_truth_has_no_loss_but_perspective(flame, pool):
    """True parameters leave only what a scaled orthography cannot show of the perspective landmarks."""
    truth = as_prediction(pool)
    losses = face_losses(flame)
    posed, opened = losses.true_heads(pool)
    best = losses.person(truth, pool, posed, opened)
    assert losses.views(truth, pool, split_points(posed)) < 1e-4
    assert best < 2.0  # px
    torch.testing.assert_close(losses.of_model(truth, pool), best + losses.views(truth, pool, split_points(posed)))
    wrong = with_codes(truth, shape=truth.person.shape + 1.0)
    assert losses.person(wrong, pool, posed, opened) > best + 0.5
    turned = with_codes(truth, global_pose=truth.views.global_pose + 0.1)
    assert losses.views(turned, pool, split_points(posed)) > 2.0


def disturbed(pool, seed: int) -> Prediction:
    """The truth with a little of everything added, and much to the codes, of which a loss takes a tenth."""
    generator, truth = torch.Generator().manual_seed(seed), as_prediction(pool)
    moved = truth.map(lambda value: value + 0.1 * torch.randn(value.shape, generator=generator))
    shape, expression = (code + torch.randn(code.shape, generator=generator) for code in truth.person.tensors()[:2])
    return with_codes(moved, shape=shape, expression=expression)


def plain_person(flame, prediction: Prediction, truth) -> torch.Tensor:
    """The loss of one person's codes, written out: the head that they give, with what the true jaw adds to the true
    head, is moved and scaled onto the true one, and its landmarks are shown as the network sees each view."""
    rest, face = torch.zeros(1, 3), flame.masks["face"].nonzero()[::3, 0]

    def head(shape, expression, jaw):
        out = flame(shape, expression, rest, jaw_pose=jaw)
        return out.vertices[0, face], out.landmarks[0, 17:], out.joints[0, :1]

    person, views, known = prediction.person, prediction.views, truth.person
    given, true = (person.shape, person.expression), (known.shape, known.expression)
    parts = zip(head(*given, rest), head(*true, known.jaw_pose), head(*true, rest), strict=True)
    vertices, landmarks, root = (found + posed - still for found, posed, still in parts)
    goal = head(*true, known.jaw_pose)[0]
    centred, wanted = vertices - vertices.mean(0), goal - goal.mean(0)
    scale = torch.linalg.lstsq(centred.reshape(-1, 1), wanted.reshape(-1, 1)).solution
    off = []
    for view in range(views.camera.shape[1]):
        turned = (landmarks - root) @ axis_angle_to_matrix(views.global_pose[0, view]).T + root
        shown = project_orthographic(turned[None], views.camera[:, view])[0, :, :2]
        off.append((shown - truth.landmarks[0, view, 17:]).abs().mean() * 128 / 2)
    return (
        1000 * (scale * centred - wanted).abs().mean()
        + torch.stack(off).mean()
        + 0.1 * (person.shape - known.shape).abs().mean()
        + 0.1 * (person.expression - known.expression).abs().mean()
        + 20 * (person.jaw_pose - known.jaw_pose).abs().mean()
    )


def test_a_persons_loss_is_its_plain_sum(flame, pool):
    losses, found = face_losses(flame), disturbed(pool, 1)
    for item in range(2):
        one, truth = found[item : item + 1], pool[item : item + 1]
        value = losses.person(one, truth, *losses.true_heads(truth))
        torch.testing.assert_close(value, plain_person(flame, one, truth), rtol=1e-3, atol=1e-3)


def test_the_views_loss_is_its_plain_sum(flame, pool):
    losses, found = face_losses(flame), disturbed(pool, 2)
    heads, given, known = split_points(losses.decode(pool.person)), found.views, pool.views
    shown, true = (project(heads.face, heads.root, views) for views in (given, known))
    expected = (
        (shown - true).abs().mean() * 128 / 2
        + (given.global_pose - known.global_pose).abs().mean() / 0.05
        + (given.camera[..., 0] / known.camera[..., 0] - 1).abs().mean() / 0.05
        + (given.camera[..., 1:] - known.camera[..., 1:]).abs().mean() / 0.01
        + (given.light - known.light).abs().mean() / 3
    )
    torch.testing.assert_close(losses.views(found, pool, heads), expected)


def test_the_pretrainings_loss_weighs_the_variants_and_counts_the_views_once(flame, pool):
    losses, (posed, opened) = face_losses(flame), face_losses(flame).true_heads(pool)
    found = {"concat3": disturbed(pool, 3), "set": disturbed(pool, 4)}
    found["concat1"] = disturbed(pool.as_single_views(), 5)
    alone = []
    for row in range(18):
        one, item, truth = slice(row, row + 1), slice(row // 3, row // 3 + 1), pool.as_single_views()[row : row + 1]
        alone.append(losses.person(found["concat1"][one], truth, posed[item], opened[item]))
    expected = (
        losses.views(found["concat3"], pool, split_points(posed))
        + 0.7 * losses.person(found["concat3"], pool, posed, opened)
        + 0.2 * losses.person(found["set"], pool, posed, opened)
        + 0.5 * torch.stack(alone).mean()
    )
    weights = {"concat1": 0.5, "concat3": 0.7, "set": 0.2}
    torch.testing.assert_close(losses(found, pool, weights), expected)


def test_heads_at_rest_are_linear(flame, pool):
    losses = face_losses(flame)
    closed = Person(pool.person.shape, pool.person.expression, torch.zeros(6, 3))
    torch.testing.assert_close(losses.linear(pool.person), losses.decode(closed), rtol=0, atol=1e-6)


def test_projection_is_flames_own_pose(flame, pool):
    """Turning the decoded head about its root joint is what decoding with the pose does."""
    losses = face_losses(flame)
    person, views = pool.person, pool.views
    points, _, root = split_points(losses.decode(person))
    shown = project(points, root, views)
    for view in range(3):
        pose = views.global_pose[:, view]
        posed = flame(person.shape, person.expression, pose, jaw_pose=person.jaw_pose).vertices[:, losses.face]
        expected = project_orthographic(posed, views.camera[:, view])[..., :2]
        torch.testing.assert_close(shown[:, view], expected, rtol=0, atol=1e-4)


def test_alignment_undoes_scale_and_shift_but_no_turn():
    points = torch.randn(2, 30, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(aligned(0.5 * points + 3.0, points), points)
    turned = points[..., [1, 0, 2]]
    assert (aligned(turned, points) - points).abs().mean() > 0.1


def test_batches_are_passes_over_the_pool():
    order = pretrain_encoder.batches(np.random.default_rng(0), 12, 4, 6)
    assert order.shape == (6, 4)
    assert sorted(order[:3].flatten().tolist()) == list(range(12))
    assert sorted(order[3:].flatten().tolist()) == list(range(12))


def test_figures_by_yaw_use_the_size_of_the_angle():
    figures = by_yaw(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([3.0, -40.0, 50.0]))
    assert figures == {"one_view_mm_yaw_0_5": 1.0, "one_view_mm_yaw_30_60": 3.0}


def test_encoder_figures_of_an_untrained_network_are_the_mean_heads(flame):
    torch.manual_seed(0)
    start = pretrain_encoder.PretrainedNetwork(SMALL, flame, CROP_SCALE).eval()
    figures = pretrain_encoder.measure_encoder(start, flame, measured_on(0, 64, encoder_subjects=6))
    for name in ("one_view_mm", "two_views_mm", "three_views_mm", "set_mm", "one_view_averaged_mm"):
        assert figures[name] == pytest.approx(figures["mean_head_mm"], rel=0.05)
    assert figures["mean_head_mm"] > 1.0
    assert figures["rotation_deg"] > 10


# ----------------------------------------------------------------------------------------------------------- landmarks


def test_landmark_training_learns(flame, tmp_path):
    torch.set_num_threads(1)
    network, losses = pretrain_landmarks.pretrain_landmarks(PARAMS, having(LANDMARKS, steps=40), flame, tmp_path)
    assert np.mean(losses[-5:]) < 0.75 * np.mean(losses[:5])
    figures = pretrain_landmarks.measure_landmarks(network, flame, measured_on(0, 128, landmark_subjects=4))
    assert 0 < figures["error_px"] < 40


def test_landmark_loss_counts_points_inside_the_crop_only():
    points = torch.full((1, N_LANDMARKS, 2), 64.0)
    logits = torch.zeros(1, N_LANDMARKS, CELLS, CELLS)
    reference = landmark_loss(logits, points)
    points[0, 0] = torch.tensor([-500.0, 64.0])
    torch.testing.assert_close(landmark_loss(logits, points), reference)
    points[0, 1] = torch.tensor([100.0, 64.0])
    assert landmark_loss(logits, points) > reference


def test_no_face_means_no_face():
    rng = np.random.default_rng(0)
    crops = torch.linspace(0, 1, SIDE).expand(8, 3, SIDE, SIDE).clone()
    empty = without_face(rng, crops, 0.5)
    assert empty.shape == crops.shape
    for crop, other in zip(crops, empty, strict=True):
        assert (crop - other).abs().mean() > 0.05
    shuffled = [other for other in empty if torch.equal(other.flatten().sort()[0], crops[0].flatten().sort()[0])]
    assert 0 < len(shuffled) < 8  # some keep all of a face's pixels, in other places


# ---------------------------------------------------------------------------------------------------------------- flow


FLOW = having(
    FROM_SCRATCH.pretrained.flow, seed=0, steps=40, pairs=4, skins=2, skin_size=64, batch=2, updates=2, fine=[]
)


@pytest.mark.slow
def test_flow_training_learns(flame, tmp_path):
    """Four pairs shown again and again: forty steps on new pairs would drown in how much they differ."""
    torch.set_num_threads(1)
    estimator, losses = pretrain_flow.pretrain_flow(PARAMS, FLOW, flame, tmp_path)
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    assert estimator.updates == 2 and not any(parameter.requires_grad for parameter in estimator.parameters())
    assert not list(tmp_path.rglob("*.pt"))


@pytest.mark.parametrize("step", [3, 5, 6])  # in each of the three phases of four, two and one steps
def test_an_interrupted_flow_training_ends_with_the_same_weights(flame, tmp_path, monkeypatch, step):
    config = having(FLOW, steps=4, fine=[0.5, 0.25], fine_batch=2)
    same_after_an_interruption(
        lambda folder: pretrain_flow.pretrain_flow(PARAMS, config, flame, folder),
        tmp_path,
        monkeypatch,
        step,
    )


def test_later_phases_have_enlarged_images_pairs_and_settings_of_their_own(flame, tmp_path, monkeypatch):
    look, render, sides, pools = pretrain_flow.matching_loss, pretrain_flow.flow_pool, [], []

    def watched(features, pairs):
        sides.append(features.shape[-1])
        return look(features, pairs)

    def counted(flame, params, config, count):
        pools.append((config.seed, count, config.lr))
        return render(flame, params, config, count)

    monkeypatch.setattr(pretrain_flow, "matching_loss", watched)
    monkeypatch.setattr(pretrain_flow, "flow_pool", counted)
    config = having(FLOW, steps=2, fine=[0.5, 0.1], fine_batch=3, lr=1e-3, fine_lr=1e-4)
    estimator, losses = pretrain_flow.pretrain_flow(PARAMS, config, flame, tmp_path)
    assert sides == [16, 16, 32, 32] and estimator.enlarge == 2 and len(losses) == 4
    seeds, counts, rates = zip(*pools, strict=True)
    assert len(set(seeds)) == 3 and counts == (4, 3, 3) and rates == (1e-3, 1e-4, 1e-4)


@pytest.mark.parametrize("step", [3, 5])  # beside the trunk, and after it: the second phase has three steps
def test_an_interrupted_encoder_training_ends_with_the_same_weights(flame, tmp_path, monkeypatch, step):
    config = having(ENCODER, steps=3, refit=1.0)
    same_after_an_interruption(
        lambda folder: pretrain_encoder.pretrain_encoder(PARAMS, config, flame, folder),
        tmp_path,
        monkeypatch,
        step,
    )


def test_an_interrupted_landmark_training_ends_with_the_same_weights(flame, tmp_path, monkeypatch):
    """Its steps draw mirrors and negatives: those are taken up too."""
    same_after_an_interruption(
        lambda folder: pretrain_landmarks.pretrain_landmarks(PARAMS, having(LANDMARKS, steps=5), flame, folder),
        tmp_path,
        monkeypatch,
        3,
    )


def same_after_an_interruption(train, folder, monkeypatch, step):
    """Training that falls over at a step and is called again ends as an undisturbed one, and leaves no checkpoint."""
    torch.set_num_threads(1)
    monkeypatch.setattr(descent, "SAVE_EVERY", 2)
    whole, losses = train(folder / "a")
    go, made = descent.TrainingLoop.step, []

    def falls_over(self, loss):
        if len(made) == step:
            raise KeyboardInterrupt
        made.append(go(self, loss))

    monkeypatch.setattr(descent.TrainingLoop, "step", falls_over)
    with pytest.raises(KeyboardInterrupt):
        train(folder / "b")
    monkeypatch.setattr(descent.TrainingLoop, "step", go)
    assert list((folder / "b").rglob("last.pt"))
    resumed, again = train(folder / "b")
    assert again == losses
    other = resumed.state_dict()
    assert all(torch.equal(value, other[name]) for name, value in whole.state_dict().items())
    assert not list(folder.rglob("*.pt"))


def test_some_pairs_are_photographs_and_themselves(flame):
    pool = pretrain_flow.flow_pool(flame, PARAMS, having(FLOW, identical=2), 4)
    same = (pool.first == pool.second).flatten(1).all(1)
    assert same.tolist() == [True, False, True, False]
    assert (pool.flow[same] == 0).all() and pool.valid[same].all() and not pool.valid[~same].all()


def moved_pairs(across: float, down: float) -> FlowPairs:
    """Everything moves by as many pixels, everything is valid."""
    flow = torch.tensor([across, down])[None, :, None, None].expand(1, 2, SIDE, SIDE)
    image = torch.zeros(1, 3, SIDE, SIDE, dtype=torch.uint8)
    return FlowPairs(image, image, flow, torch.ones(1, 1, SIDE, SIDE, dtype=torch.bool))


def test_cells_go_where_their_middles_go():
    target, counts = pretrain_flow.cell_targets(moved_pairs(8.0, -4.0), 8)
    row, column = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    torch.testing.assert_close(target[0], torch.stack([column + 1, row - 0.5]))
    assert torch.equal(counts[0], (column < 15) & (row > 0))  # the others leave the image
    finer = pretrain_flow.cell_targets(moved_pairs(8.0, -4.0), 4)[0][0]
    torch.testing.assert_close(finer[:, 0, 0], torch.tensor([2.0, -1.0]))
    pairs = moved_pairs(0.0, 0.0)
    pairs.valid[..., 3, 4] = False  # one of the four middle pixels of the first cell
    assert not pretrain_flow.cell_targets(pairs, 8)[1][0, 0, 0]


def test_mirrored_pairs_move_the_other_way():
    target, counts = pretrain_flow.cell_targets(moved_pairs(11.0, 3.0), 8)
    mirrored, there = pretrain_flow.cell_targets(pretrain_flow.mirrored(moved_pairs(11.0, 3.0)), 8)
    torch.testing.assert_close(mirrored[:, 0].flip(-1), 15 - target[:, 0])
    torch.testing.assert_close(mirrored[:, 1].flip(-1), target[:, 1])
    assert torch.equal(there.flip(-1), counts)


def test_features_match_best_where_the_flow_ends():
    """Every cell has a feature of its own; the second image's are moved by a cell, half a cell, the wrong way."""
    own = 40 * torch.eye(256).view(1, 256, 16, 16)
    losses = {
        shift: pretrain_flow.matching_loss(torch.cat([own, own.roll(1, -1)]), moved_pairs(shift, 0.0)).item()
        for shift in (8.0, 4.0, -8.0)
    }
    assert losses[8.0] < 0.01 < losses[4.0] < losses[-8.0]
    between = (own + own.roll(1, -1)) / 2  # what is seen between two cells looks like both
    half = pretrain_flow.matching_loss(torch.cat([own, between]), moved_pairs(4.0, 0.0))
    assert half.item() == pytest.approx(np.log(2), abs=0.01)  # the entropy of the two cells' equal shares


def test_flow_figures_put_dis_beside_zero(flame):
    figures = pretrain_flow.measure_flow(DisFlow(), flame, measured_on(0, 128, flow_pairs=8))
    assert figures["epe_dis_px"] < figures["epe_zero_px"]
    assert figures["epe_small_zero_px"] < 2
    assert figures["identical_mean_px"] < 0.1
    assert figures["epe_cross_zero_px"] > 2 and figures["epe_cross_dis_px"] > 0
