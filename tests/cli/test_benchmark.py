import argparse

import pandas as pd
import pytest

from mfnet.cli import benchmark as cli
from mfnet.errors import InputError


@pytest.fixture
def run():
    parser = argparse.ArgumentParser()
    cli.add_commands(parser.add_subparsers())

    def call(*words):
        args = parser.parse_args([str(word) for word in words])
        args.run(args)

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


def test_the_loaders_are_listed_without_anything_else(run, capsys):
    with pytest.raises(SystemExit) as ended:
        run("score", "--list-loaders")
    assert ended.value.code == 0 and "camera" in capsys.readouterr().out.split()


def test_tables_come_in_every_format(run, scored, capsys):
    for words, mark in (
        (["--format", "md"], "| method |"),
        (["--format", "csv"], "method,local set/all/CD"),
        (["--format", "tex"], r"\begin{tabular}"),
        (["--format", "long"], "dataset,method,bin,items,done"),
    ):
        capsys.readouterr()
        run("scores", scored / "s.parquet", "--resamples", 20, *words)
        assert mark in capsys.readouterr().out


def test_published_baselines_come_with_their_notes(run, scored, capsys):
    run("scores", scored / "s.parquet", "--published", "2021-12", "--resamples", 20)
    shown = capsys.readouterr()
    assert shown.out.count("(published 2021-12)") == 14 and "165 of 168" in shown.err and "Table 2" in shown.err


def test_files_that_are_no_scores_are_one_line(run, tmp_path):
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "a.parquet")
    for path, message in ((tmp_path / "a.parquet", "no column"), (tmp_path / "none.parquet", "not a Parquet file")):
        with pytest.raises(InputError, match=message):
            run("scores", path)
