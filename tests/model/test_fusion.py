"""Fusion: the set does not care for order or for what is missing, the concatenation does and says so."""

import pytest
import torch

from mfnet.model.fusion import ConcatFusion, Regressor, SetFusion

CENTRE = torch.linspace(-1, 1, 36).view(3, 12)


@pytest.fixture
def units():
    return torch.linspace(-1, 1, 7), torch.linspace(0.5, 2, 7)


def everywhere(batch, views):
    return torch.ones(batch, views, dtype=torch.bool)


def test_set_is_invariant_under_permutation(units):
    torch.manual_seed(0)
    fusion = SetFusion(CENTRE[0], 16, *units)
    features = torch.randn(4, 3, 12)
    expected = fusion(features, everywhere(4, 3))
    torch.testing.assert_close(fusion(features[:, [2, 0, 1]], everywhere(4, 3)), expected)


def test_set_does_not_see_missing_views(units):
    torch.manual_seed(0)
    fusion = SetFusion(CENTRE[0], 16, *units)
    features = torch.randn(2, 3, 12)
    present = torch.tensor([[True, False, True], [False, True, False]])
    answer = fusion(features, present)
    torch.testing.assert_close(answer[0], fusion(features[:1, [0, 2]], everywhere(1, 2))[0])
    torch.testing.assert_close(answer[1], fusion(features[1:, [1]], everywhere(1, 1))[0])
    disturbed = features + 100 * ~present[..., None]
    torch.testing.assert_close(fusion(disturbed, present), answer)
    assert not torch.allclose(answer[0], fusion(features[:1], everywhere(1, 3))[0], rtol=1e-6, atol=0)


def test_set_of_equal_views_is_the_view(units):
    torch.manual_seed(0)
    fusion = SetFusion(CENTRE[0], 16, *units)
    feature = torch.randn(2, 1, 12)
    torch.testing.assert_close(fusion(feature.expand(-1, 5, -1), everywhere(2, 5)), fusion(feature, everywhere(2, 1)))


def test_set_refuses_a_person_without_views(units):
    with pytest.raises(ValueError, match="at least one"):
        SetFusion(CENTRE[0], 16, *units)(torch.zeros(1, 2, 12), torch.zeros(1, 2, dtype=torch.bool))


def test_concat_knows_its_slots(units):
    torch.manual_seed(0)
    fusion = ConcatFusion(CENTRE, 16, *units)
    features = torch.randn(2, 3, 12)
    assert not torch.allclose(fusion(features[:, [0, 2, 1]], everywhere(2, 3)), fusion(features, everywhere(2, 3)))


def test_concat_refuses_gaps_and_other_counts(units):
    fusion = ConcatFusion(CENTRE, 16, *units)
    with pytest.raises(ValueError, match="takes 3 views, got 2"):
        fusion(torch.zeros(1, 2, 12), everywhere(1, 2))
    with pytest.raises(ValueError, match="needs every view"):
        fusion(torch.zeros(1, 3, 12), torch.tensor([[True, True, False]]))


def test_first_answer_is_close_to_the_mean(units):
    torch.manual_seed(0)
    mean, scale = units
    answer = ConcatFusion(CENTRE, 16, mean, scale)(torch.randn(50, 3, 12), everywhere(50, 3))
    assert ((answer - mean) / scale).abs().max() < 0.05


def test_the_centre_is_the_zero_of_the_features(units):
    """At the features of the mean face only biases speak; a set has one centre, a concatenation one for each slot."""
    torch.manual_seed(0)
    concat, single = ConcatFusion(CENTRE, 16, *units), Regressor(CENTRE[0], 16, *units)
    torch.testing.assert_close(concat.first(CENTRE.flatten()), concat.first.bias)
    torch.testing.assert_close(single.first(CENTRE[0]), single.first.bias)
    shifted = torch.randn(4, 12)
    torch.testing.assert_close(
        single.first(shifted + CENTRE[0]), torch.nn.functional.linear(shifted, single.first.weight, single.first.bias)
    )
