"""DVC stages run from outside: order, streaming, failure, and no orphans."""

import json
import os
import subprocess
import threading
from pathlib import Path

import pytest

from mfnet.errors import InputError
from pipelines import dvc_process
from pipelines.dvc_stages import KEPT, REFUSAL, Dag, StageBusy, StageFailed, order_lock, run_stage, workspace_lock
from stages import common
from tests.conftest import HANGS

ROOT = Path(__file__).parents[2]


def quiet(line: str) -> None:
    pass


def test_every_stage_comes_after_what_it_depends_on(workspace):
    dag = Dag.read(workspace)
    order = list(dag.parents)
    assert sorted(order) == ["crashed", "first", "last", "middle", "refused", "slow", "wrong"]
    assert order.index("first") < order.index("middle") < order.index("last")
    assert set(dag.parents["last"]) == {"first", "middle"} and dag.changed == set(order)
    assert dag.heights() == {"first": 2, "middle": 1} | dict.fromkeys(order[3:], 0) | {"last": 0}


def test_targets_come_with_what_they_depend_on(workspace):
    (workspace / "dvc.yaml").write_text(
        "stages:\n  first: {cmd: echo 1 > first, outs: [first]}\n  other: {cmd: echo 2 > other, outs: [other]}\n"
        "  each:\n    matrix: {item: [x, y]}\n    cmd: cat first > ${item.item}\n    deps: [first]\n"
        "    outs: ['${item.item}']\n"
    )
    dag = Dag.read(workspace)
    assert dag.wanted(["each@y"]) == ["first", "each@y"]
    assert dag.wanted(["each"]) == ["first", "each@x", "each@y"] and dag.wanted([]) == list(dag.parents)
    with pytest.raises(InputError, match=r"no such stage: nothing; known: first, "):
        dag.wanted(["each", "nothing"])


def test_the_critical_path_is_the_longest_chain():
    dag = Dag({"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"], "e": []}, frozenset())
    assert dag.critical_path({"a": 1, "b": 5, "c": 2, "d": 1, "e": 6.5}) == ["a", "b", "d"]
    assert dag.critical_path({"a": 1, "b": 5, "c": 2, "d": 1, "e": 7.5}) == ["e"]
    assert dag.critical_path({"c": 2, "d": 1}) == ["c", "d"], "a stage that was not run takes no time"
    assert dag.critical_path({}) == []


def test_lines_are_streamed_and_an_unchanged_stage_is_skipped(workspace):
    lines = []
    assert [run_stage(address, workspace, lines.append) for address in ("first", "middle", "last")] == ["built"] * 3
    assert (workspace / "last").read_text() == "hello\nhello\n"
    assert "done with last" in lines
    again = []
    assert run_stage("last", workspace, again.append) == "unchanged"
    assert "done with last" not in again
    (workspace / "last").unlink()
    assert run_stage("last", workspace, again.append) == "from cache"
    assert Dag.read(workspace).changed == {"crashed", "refused", "slow", "wrong"}


def test_a_failure_tells_why_in_one_line(workspace):
    told = {
        "wrong": "wrong: this is why",
        "refused": "refused: ingest.py: error: source.multipie: no such folder",
        "crashed": "crashed: ZeroDivisionError: division by zero",
        "killed": "killed: killed by signal 9; it last said: at work",
        "middle": f"middle: failed to reproduce 'middle': [Errno 2] No such file or directory: '{workspace}/first'",
    }
    with (workspace / "dvc.yaml").open("a") as stages:
        stages.write("  killed: {cmd: 'echo at work; kill -9 $$', outs: [killed]}\n")
    for address, message in told.items():
        with pytest.raises(StageFailed) as caught:
            run_stage(address, workspace, quiet)
        assert str(caught.value) == message and not isinstance(caught.value, StageBusy)


def test_another_dvc_process_in_the_way_is_told_from_a_failure(workspace):
    """DVC's list of what is being read and written names a process that lives: this one."""
    run_stage("first", workspace, quiet)
    busy = {"write": {str(workspace / "middle"): {"pid": os.getpid(), "cmd": "dvc repro middle"}}, "read": {}}
    (workspace / ".dvc" / "tmp" / "rwlock").write_text(json.dumps(busy))
    with pytest.raises(StageBusy, match="middle: another DVC process is at work"):
        run_stage("middle", workspace, quiet)


def test_stages_refuse_bad_input_in_the_words_that_are_looked_for():
    def refuse(params, args, record):
        raise InputError("source.multipie: no such folder")

    with pytest.raises(SystemExit) as caught:
        common.run_stage(refuse, common.stage_parser("a stage"), ["--params", str(ROOT / "params.yaml")])
    assert REFUSAL.match(caught.value.code)


class Interrupted(BaseException):
    """Stands for a cancelled flow."""


def test_an_interrupted_stage_leaves_no_orphan(workspace):
    def log(line):
        if line == "started":
            raise Interrupted

    with pytest.raises(Interrupted):
        run_stage("slow", workspace, log)
    assert not dvc_process.started_in(workspace)


def test_one_flow_at_a_time(workspace):
    with workspace_lock(workspace), pytest.raises(InputError, match=r"rebuild\.lock"), workspace_lock(workspace):
        pass
    with workspace_lock(workspace):
        pass


def test_the_lock_is_free_after_its_holder_was_killed(workspace):
    code = (
        "import sys, time; from pathlib import Path; from pipelines.dvc_stages import workspace_lock\n"
        "with workspace_lock(Path('.')): print('held', flush=True); time.sleep(600)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    holder = subprocess.Popen(
        [os.sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=workspace, env=environment
    )
    timer = threading.Timer(HANGS, holder.kill)
    timer.start()
    assert holder.stdout.readline() == "held\n"
    holder.kill()
    holder.wait()
    timer.cancel()
    with workspace_lock(workspace):
        pass


def test_what_is_left_of_a_killed_flow_is_ended_by_the_next(workspace):
    """Of one whose every process was killed with -9 but the stage's."""
    ours, theirs = str(workspace), str(workspace / "elsewhere")
    left, other = (
        subprocess.Popen(["sleep", "600"], env={**os.environ, dvc_process.MARK: root, dvc_process.STAGE: "first"})
        for root in (ours, theirs)
    )
    try:
        assert list(dvc_process.started_in(workspace).values()) == ["first"]
        with workspace_lock(workspace):
            assert left.wait(HANGS) and other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_lock_that_was_torn_is_made_whole_again(workspace):
    """Cut inside a word it cannot be read and the copy is put back; cut elsewhere, DVC sees what is missing. Either way
    the rest comes from the cache."""
    whole = workspace / "dvc.lock"
    run_stage("first", workspace, quiet)
    before = whole.read_bytes()
    with workspace_lock(workspace):
        run_stage("middle", workspace, quiet)
        complete = whole.read_bytes()
        assert (workspace / KEPT).read_bytes() == before
    assert not (workspace / KEPT).exists()
    for cut, after in (("    dep", before), ("    ", None), ("    deps:\n    - path: first\n      hash: md5\n", None)):
        (workspace / KEPT).write_bytes(before)  # as a killed flow leaves it
        whole.write_bytes(before + f"  middle:\n    cmd: cat first > middle\n{cut}".encode())
        (workspace / ".dvc" / "tmp" / "rwlock").write_text('{"write": {"a')
        with workspace_lock(workspace):
            assert after in (None, whole.read_bytes())
            assert run_stage("middle", workspace, quiet) == "from cache"
        assert whole.read_bytes() == complete


def test_a_lock_that_was_torn_by_others_is_named(workspace):
    (workspace / "dvc.lock").write_text("stages: {first: [")
    with pytest.raises(InputError, match=r"dvc\.lock: cannot be read .*git checkout"), workspace_lock(workspace):
        pass


def test_the_order_of_the_lock_is_that_of_dvc_repro(diamond):
    dag = Dag.read(diamond)
    for address in ("alone", "head", "after", "right", "left", "tail"):
        run_stage(address, diamond, quiet)
    order_lock(diamond, dag)
    mine = (diamond / "dvc.lock").read_bytes()
    (diamond / "dvc.lock").unlink()
    subprocess.run(["dvc", "repro", "-q", "--no-run-cache"], check=True)
    assert (diamond / "dvc.lock").read_bytes() == mine
