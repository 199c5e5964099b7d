"""`mfnet head` as a user calls it."""

import pickle
import subprocess
import sys

import numpy as np
import pytest

from mfnet.cli.main import main
from mfnet.flame import load_flame
from mfnet.flame.embedding import embedding_fields


def test_convert_then_info(tmp_path, fields, head, capsys):
    (tmp_path / "generic_model.pkl").write_bytes(pickle.dumps(fields, protocol=2))
    np.save(tmp_path / "landmark_embedding.npy", np.array(embedding_fields(head.landmarks)), allow_pickle=True)
    out = tmp_path / "head.npz"
    landmarks = ["--landmarks", str(tmp_path / "landmark_embedding.npy")]
    main(["head", "convert", str(tmp_path / "generic_model.pkl"), *landmarks, "-o", str(out)])
    assert head.content_hash() in capsys.readouterr().out
    assert load_flame(out).content_hash == head.content_hash()
    main(["head", "info", str(out)])
    printed = capsys.readouterr().out
    assert head.content_hash() in printed and "300 identity, 100 expression" in printed


def test_a_bad_file_is_one_line_and_status_1(tmp_path):
    (tmp_path / "bad.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(SystemExit) as caught:
        main(["head", "convert", str(tmp_path / "bad.pkl"), "-o", str(tmp_path / "head.npz")])
    message = caught.value.code
    assert "bad.pkl" in message and "os.system" in message and "\n" not in message
    assert [path.name for path in tmp_path.iterdir()] == ["bad.pkl"]


def test_the_command_line_starts_without_torch():
    code = "import sys, mfnet.cli.main, mfnet.cli.head; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
