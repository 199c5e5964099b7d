"""Whose a head is goes with it, and is text."""

from dataclasses import replace

import numpy as np
import pytest

from mfnet.errors import InputError
from mfnet.flame import read_head, write_head
from mfnet.flame.provenance import Provenance, provenance_fields, provenance_from_fields
from tests.heads import open_head

THEIRS = Provenance("A head", "CC-BY-4.0", "Made by Anna Müller", "no")


def test_a_head_file_carries_its_provenance(tmp_path):
    write_head(replace(open_head(), provenance=THEIRS), tmp_path / "head.npz")
    assert read_head(tmp_path / "head.npz").provenance == THEIRS


def test_the_shipped_head_is_free():
    assert open_head().provenance.licence == "CC0-1.0"


def test_what_is_not_declared_is_said_so():
    assert str(provenance_from_fields({}, "x.pkl")) == "not named, licence not declared"


@pytest.mark.parametrize("value", [np.array(3), np.array(["a", "b"]), np.array("two\nlines"), np.array("x" * 2001)])
def test_what_is_no_line_of_text_is_refused(value):
    with pytest.raises(InputError, match=r"x\.npz: field 'provenance_licence'"):
        provenance_from_fields(provenance_fields(THEIRS) | {"provenance_licence": value}, "x.npz")


def test_what_is_declared_replaces_what_the_file_says_and_no_more():
    head = replace(open_head(), provenance=THEIRS)
    declared = head.declaring(licence="CC0-1.0")
    assert declared.provenance == replace(THEIRS, licence="CC0-1.0") and declared.content_hash() == head.content_hash()
    assert head.declaring().provenance == THEIRS and head.declaring(attribution="").provenance.attribution == ""


def test_whether_a_head_may_be_shown_is_yes_or_no():
    fields = provenance_fields(THEIRS) | {"provenance_may_show": np.array("perhaps")}
    with pytest.raises(InputError, match=r"x\.npz: field 'provenance_may_show' is neither yes nor no"):
        provenance_from_fields(fields, "x.npz")
    assert "provenance_may_show" not in provenance_fields(Provenance("A head", "MIT"))
