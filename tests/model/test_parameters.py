"""Person, View and Prediction: what is done to all tensors at once, and how people and views are regrouped."""

from dataclasses import replace

import pytest
import torch

from mfnet.model.parameters import Person, Prediction, View

PEOPLE, VIEWS = 4, 3
NAMES = ["shape", "expression", "jaw_pose", "global_pose", "camera", "inverse_distance", "albedo", "light"]


@pytest.fixture
def prediction() -> Prediction:
    """Every number says whose it is: 10 x person + view, 10 x person for what views share."""
    person = 10.0 * torch.arange(PEOPLE)
    view = person[:, None] + torch.arange(VIEWS)

    def filled(numbers: torch.Tensor, *size: int) -> torch.Tensor:
        return numbers.reshape(*numbers.shape, *[1] * len(size)).expand(*numbers.shape, *size).clone()

    return Prediction(
        Person(filled(person, 5), filled(person, 2), filled(person, 3)),
        View(filled(view, 3), filled(view, 3), view.clone(), filled(view, 6), filled(view, 9, 3)),
    )


def test_tensors_come_by_name_in_the_order_of_the_fields(prediction):
    assert list(prediction.named_tensors()) == NAMES
    assert all(a is b for a, b in zip(prediction.tensors(), prediction.named_tensors().values(), strict=True))


def test_map_rows_and_types_reach_every_tensor(prediction):
    assert all(value.dtype == torch.float64 for value in prediction.map(torch.Tensor.double).tensors())
    assert all(value.dtype == torch.float32 for value in prediction.map(torch.Tensor.double).float().tensors())
    assert all(value.device.type == "meta" for value in prediction.to("meta").tensors())
    for rows, count in ((slice(1, 3), 2), ([3, 0, 3], 3), (torch.tensor([2]), 1)):
        for value, part in zip(prediction.tensors(), prediction[rows].tensors(), strict=True):
            assert len(part) == count and torch.equal(part, value[rows])


def test_joined_records_keep_their_order(prediction):
    again = Prediction.cat([prediction[:1], prediction[1:]])
    assert all(torch.equal(a, b) for a, b in zip(again.tensors(), prediction.tensors(), strict=True))


@pytest.mark.parametrize("views", [1, [0, 2, 1, 0]])
def test_each_person_is_seen_in_the_view_that_is_named(prediction, views):
    one = prediction.of_view(views if isinstance(views, int) else torch.tensor(views))
    expected = 10.0 * torch.arange(PEOPLE) + torch.tensor(views)
    assert one.views.camera.shape == (PEOPLE, 1, 3) and one.views.inverse_distance.shape == (PEOPLE, 1)
    assert all(torch.equal(value.flatten(1)[:, 0], expected) for value in one.views.tensors())
    assert one.person is prediction.person


def test_a_distance_for_all_cameras_or_for_each(prediction):
    assert (prediction.with_inverse_distance(0.5).views.inverse_distance == 0.5).all()
    each = torch.rand(PEOPLE, VIEWS)
    moved = prediction.with_inverse_distance(each)
    assert torch.equal(moved.views.inverse_distance, each) and moved.views.camera is prediction.views.camera


def test_views_are_given_the_person_that_they_share(prediction):
    result = prediction.per_view()
    assert result.person.shape.shape == (PEOPLE, VIEWS, 5)
    for value in result.person.tensors():
        assert torch.equal(value[..., 0], (10.0 * torch.arange(PEOPLE))[:, None].expand(-1, VIEWS))
    again = result.per_view()
    assert all(torch.equal(a, b) for a, b in zip(again.tensors(), result.tensors(), strict=True))


def test_photographs_seen_one_by_one_are_grouped_by_person(prediction):
    """A network of one view predicts a person for each photograph; each keeps its own."""
    alone = replace(prediction.of_view(2), person=prediction.person)
    grouped = alone.per_view(2)
    for value in grouped.tensors():
        assert value.shape[:2] == (2, 2)
    assert torch.equal(grouped.person.shape[..., 0], torch.tensor([[0.0, 10.0], [20.0, 30.0]]))
    assert torch.equal(grouped.views.camera[..., 0], torch.tensor([[2.0, 12.0], [22.0, 32.0]]))
