"""Records on disk: whole events, in a place that takes them, with a writer that is known to be alive or not."""

import errno
import os

import pytest

from mfnet.runs import outbox
from mfnet.runs.outbox import RunRecord, has_writer, outboxes, read, records, workspace
from tests.runs.conftest import process


def test_the_workspace_is_found_from_below_and_from_an_experiments_copy(tmp_path):
    for folder in (".dvc", "data/deep", ".dvc/tmp/exps/tmp1/.dvc", ".dvc/tmp/exps/tmp1/data"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    for start in ("", "data/deep", ".dvc/tmp/exps/tmp1", ".dvc/tmp/exps/tmp1/data"):
        assert workspace(tmp_path / start) == tmp_path.resolve()


def test_events_are_read_from_where_one_stopped_and_never_by_halves(place):
    record = RunRecord.open(outboxes(place))
    record.write({"kind": "a"})
    ((first, after),) = read(record.folder)
    record.write({"kind": "b", "value": float("inf")})
    os.write(record.file, b'{"kind": "torn')
    assert first["kind"] == "a" and [event["kind"] for event, _ in read(record.folder, after)] == ["b"]


def test_a_writer_is_known_to_be_alive_until_its_process_ends(place):
    writer = process(
        """
        import time
        from mfnet.runs.outbox import RunRecord, outboxes, workspace
        record = RunRecord.open(outboxes(workspace()))
        record.write({"kind": "begin"})
        print("written", flush=True)
        time.sleep(600)
        """
    )
    assert writer.stdout.readline() == "written\n"
    (folder,) = records(place)
    assert has_writer(folder)
    writer.kill()
    writer.communicate()
    assert not has_writer(folder)


def test_a_record_goes_to_the_users_folder_where_the_workspace_cannot_be_written(place):
    (place / ".mfnet").write_text("in the way of the folder")
    record = RunRecord.open(outboxes(place))
    record.write({"kind": "a"})
    assert record.folder.parent == outboxes(place)[1] and records(place) == [record.folder]


def test_a_record_moves_whole_when_its_disk_is_full(place, monkeypatch):
    record = RunRecord.open(outboxes(place))
    record.write({"kind": "a"})
    kept = record.keep(b"content", "picture.png")
    full, write = record.file, os.write

    def write_half(file: int, content: bytes) -> int:
        if file != full:
            return write(file, content)
        write(file, content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(outbox.os, "write", write_half)
    old = record.folder
    record.write({"kind": "b"})
    assert [event["kind"] for event, _ in read(record.folder)] == ["a", "b"]
    assert (record.folder / kept).read_bytes() == b"content" and not old.exists() and has_writer(record.folder)


def test_what_no_disk_takes_is_written_with_the_next_event(place, monkeypatch):
    record = RunRecord.open(outboxes(place)[:1])
    with monkeypatch.context() as patch:
        patch.setattr(outbox.os, "fsync", lambda file: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
        with pytest.raises(OSError):
            record.write({"kind": "a"})
        assert list(read(record.folder)) == []
    record.write({"kind": "b"})
    assert [event["kind"] for event, _ in read(record.folder)] == ["a", "b"]
