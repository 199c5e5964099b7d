import io
from typing import get_args

import pandas as pd
import pytest

from mfnet.cli import benchmark
from mfnet.cli.main import app, main
from mfnet.errors import InputError
from mfnet.scoring.loaders import LOADERS
from mfnet.scoring.published import VERSIONS


@pytest.fixture
def run():
    def call(*words):
        """The command line, without the wrapper that ends the process."""
        app(["benchmark", *map(str, words)], standalone_mode=False)

    return call


@pytest.fixture
def scored(run, scene, benchmark_root, tmp_path):
    item = scene.wild_item(0)
    scene.write_mesh(tmp_path / "pred/wild_pred/mine/000.obj", scene.wild_cube(item, scene.ball((71, 91, 81))))
    folders = ["--data", benchmark_root, "--predef", benchmark_root, "--pred", tmp_path / "pred"]
    words = ["score", "wild", *folders, "--loader", "camera", "--method", "mine", "--out", tmp_path / "s.parquet"]
    run(*words, "--executor", "serial", "--error-maps", tmp_path / "maps")
    return tmp_path


def test_score_writes_the_table_and_the_maps(scored, capsys):
    table = pd.read_parquet(scored / "s.parquet")
    assert list(table["status"]) == ["ok", "missing_file", "missing_file"] and set(table["method"]) == {"mine"}
    assert {"dataset", "index", "name", "bin", "CD", "CR", "MNE", "reason"} <= set(table.columns)
    assert sorted(path.name for path in (scored / "maps").iterdir()) == ["mine-000.ply", "mine-000.png"]
    assert not (scored / "s.parquet.partial").exists()


def test_choices_are_those_of_the_library():
    """The command line names them itself, so that it starts without the library."""
    assert get_args(benchmark.Loader) == tuple(LOADERS) and get_args(benchmark.Published) == VERSIONS


def test_help_lists_the_loaders(capsys):
    main(["benchmark", "score", "--help"])
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("3DDFA_V2", "camera"))


def test_an_unknown_loader_is_a_usage_error(capsys):
    with pytest.raises(SystemExit) as ended:
        main(
            ["benchmark", "score", "wild", "--data", "d", "--predef", "d", "--pred", "d", "--loader", "x", "--out", "o"]
        )
    assert ended.value.code == 2 and "RingNet" in capsys.readouterr().err


def test_two_methods_are_compared_in_pairs(run, scored, capsys):
    table = pd.read_parquet(scored / "s.parquet")
    pd.concat([table, table.assign(method="other", CD=table.CD + 1)]).to_parquet(scored / "both.parquet")
    capsys.readouterr()
    run("compare", scored / "both.parquet", "--pair", "other", "mine", "--resamples", 20)
    rows = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert len(rows) and (rows == 1).any(axis=None), "one item, one millimetre apart"


def test_tables_come_in_every_format(run, scored, capsys):
    for words, mark in (
        (["--format", "md"], "| method |"),
        (["--format", "csv"], "method,local set/all/CD"),
        (["--format", "tex"], r"\begin{tabular}"),
        (["--format", "long"], "dataset,method,bin,items,done"),
    ):
        capsys.readouterr()
        run("compare", scored / "s.parquet", "--resamples", 20, *words)
        assert mark in capsys.readouterr().out


def test_published_baselines_come_with_their_notes(run, scored, capsys):
    run("compare", scored / "s.parquet", "--published", "2021-12", "--resamples", 20)
    shown = capsys.readouterr()
    assert shown.out.count("(published 2021-12)") == 14 and "165 of 168" in shown.err and "Table 2" in shown.err


def test_files_that_are_no_scores_are_one_line(run, tmp_path):
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "a.parquet")
    for path, message in ((tmp_path / "a.parquet", "no column"), (tmp_path / "none.parquet", "not a Parquet file")):
        with pytest.raises(InputError, match=message):
            run("compare", path)
