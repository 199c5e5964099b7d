"""Sharp frames of a video."""

import cv2
import numpy as np
import pytest

from mfnet.errors import InputError
from mfnet.io.video import sharp_frames


def write_video(path, count: int = 40) -> None:
    """Two frames are sharp, the others are blurred; the red of a frame grows with its number."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (96, 64))
    noise = np.random.default_rng(0).integers(0, 255, (64, 96, 3)).astype(np.uint8)
    for number in range(count):
        frame = noise if number % 20 == 10 else cv2.GaussianBlur(noise, (0, 0), 4)
        writer.write((0.5 * frame + [0, 0, 3 * number]).clip(0, 255).astype(np.uint8))
    writer.release()


def test_the_sharpest_frame_of_each_part_is_taken_in_order(tmp_path):
    write_video(tmp_path / "a.avi")
    frames = sharp_frames(tmp_path / "a.avi", 2)
    assert [number for number, _ in frames] == [10, 30]
    assert frames[0][1].shape == (64, 96, 3)
    assert frames[1][1][..., 0].mean() > frames[0][1][..., 0].mean() + 30  # red comes first


def test_what_is_no_video_is_refused(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"no video")
    for name, said in (("a.mp4", "not a video"), ("b.mp4", "no such file")):
        with pytest.raises(InputError, match=said):
            sharp_frames(tmp_path / name)
