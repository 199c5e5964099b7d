"""What coverage-guided fuzzing starts from, and that it ends at a fault. atheris itself is not asked for."""

import pytest

from benchmarks.fuzz_coverage import LONGEST, PARSERS, Parser, attempt
from mfnet.errors import InputError


@pytest.mark.parametrize("name", PARSERS)
def test_every_parser_takes_its_good_files_and_refuses_half_of_one(name):
    parser = PARSERS[name]
    seeds = parser.seeds()
    assert seeds and all(len(seed) <= LONGEST and attempt(parser, seed) for seed in seeds)
    assert not all(attempt(parser, seeds[0][: len(seeds[0]) * share // 7]) for share in range(7))


def test_an_exception_that_is_no_refusal_comes_through():
    def parse(data):
        raise InputError("refused") if data == b"bad" else KeyError(data)

    assert not attempt(Parser(parse, list), b"bad")
    with pytest.raises(KeyError):
        attempt(Parser(parse, list), b"worse")
