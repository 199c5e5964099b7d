import gc
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from mfnet.compute import compiled as parallel
from mfnet.compute.compiled import empty, over_batch
from mfnet.render import interpolate, rasterize
from tests.conftest import HANGS
from tests.render.meshes import triangle_soup


def draw(seed: int) -> torch.Tensor:
    clip, faces = triangle_soup(batch=3, faces=20, seed=seed, dtype=torch.float32)
    return interpolate(clip, rasterize(clip, faces, 24, 24), faces)


class Drawings(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return draw(index)


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("batch, threads", [(0, 2), (1, 2), (7, 3), (3, 8), (5, 1)])
def test_every_image_is_done_once(batch, threads):
    before, done = torch.get_num_threads(), np.zeros(batch, int)

    def work(start, stop, out):
        out[start:stop] += 1

    try:
        torch.set_num_threads(threads)
        over_batch(work, batch, done)
    finally:
        torch.set_num_threads(before)
    assert (done == 1).all()


def test_an_error_in_any_thread_is_raised(two_threads):
    def work(start, stop):
        if stop == 4:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        over_batch(work, 4)


@pytest.mark.parametrize("context", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_data_loader_workers_draw_after_their_parent_did(context, two_threads):
    expected = [draw(i) for i in range(4)]  # starts the parent's threads
    loader = DataLoader(Drawings(), batch_size=None, num_workers=2, multiprocessing_context=context, timeout=HANGS)
    for mine, theirs in zip(expected, loader, strict=True):
        assert torch.equal(mine, theirs)


def test_many_threads_may_draw_at_once(two_threads):
    expected, results = [draw(i) for i in range(4)], [None] * 4

    def work(i):
        for _ in range(5):
            results[i] = draw(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(a, b) for a, b in zip(expected, results, strict=True))


def test_memory_comes_back_only_when_nothing_refers_to_it():
    shape = (3, 1001, 7)
    first = empty(shape, torch.float32)
    address, view = first.data_ptr(), first[1].T
    del first
    other = empty(shape, torch.float32)
    assert other.data_ptr() != address  # a view is alive
    del view
    gc.collect()
    again = empty(shape, torch.float32)
    assert again.data_ptr() == address


def test_memory_saved_for_a_backward_pass_is_not_given_away():
    factor = empty((1003, 11), torch.float64)
    factor.fill_(3)
    address, weight = factor.data_ptr(), torch.ones(1003, 11, dtype=torch.float64, requires_grad=True)
    out = (weight * factor).sum()
    del factor
    assert empty((1003, 11), torch.float64).data_ptr() != address
    out.backward()
    assert (weight.grad == 3).all()


def test_idle_memory_is_bounded(monkeypatch):
    pool = parallel._Pool()
    monkeypatch.setattr(parallel, "_pool", pool)
    monkeypatch.setattr(parallel, "POOLED_BYTES", 10_000)
    for size in (1000, 2000, 3000):
        tensors = [empty((size,), torch.uint8) for _ in range(6)]
        del tensors
        assert pool.held == sum(size * len(idle) for size, idle in pool.idle.items()) <= 10_000


@pytest.mark.slow
def test_nothing_compiles_at_import_and_the_next_process_loads_from_disk():
    draw(0)  # the kernels are on disk now
    script = """
import torch
from mfnet.render import interpolate, kernels, rasterize
assert not kernels.rasterize.signatures
clip, faces = torch.rand(1, 3, 4), torch.tensor([[0, 1, 2]])
interpolate(clip, rasterize(clip, faces, 8, 8), faces)
assert kernels.rasterize.stats.cache_hits and not kernels.rasterize.stats.cache_misses
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=HANGS)


@pytest.mark.slow
def test_the_process_that_compiles_gets_the_bits_of_those_that_load(tmp_path):
    script = """
import hashlib
import torch
from mfnet.flame.pose_chain import pose_chain
from mfnet.flame.skinning import BLOCK, skin
from tests.flame import test_pose_chain, test_skinning
from tests.compute.test_compiled import draw

unposed, transforms, weights = test_skinning.inputs(3 * BLOCK, 5, torch.float32)
vertices = skin(unposed, transforms, weights, 3 * BLOCK)
arguments = test_pose_chain.inputs(torch.float32, 0.3)
posed = pose_chain(*arguments)
grads = torch.autograd.grad(vertices.square().sum(), (unposed, transforms))
grads += torch.autograd.grad(sum(out.square().sum() for out in posed[:3]), arguments[:2])
digest = hashlib.sha256()
for tensor in (vertices, *posed, *grads, draw(0)):
    digest.update(tensor.detach().contiguous().numpy().tobytes())
print(digest.hexdigest())
"""
    command, environment = [sys.executable, "-c", script], os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    compiling, loading = (
        subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=HANGS).stdout
        for _ in range(2)
    )
    assert list(tmp_path.rglob("*.nbc"))
    assert compiling == loading


def test_without_a_folder_to_write_to_a_kernel_says_so_and_works():
    names = {}
    exec("def double(x):\n    return 2 * x", names)  # no file, so nowhere to keep the machine code
    with pytest.warns(UserWarning, match="NUMBA_CACHE_DIR"):
        double = parallel.kernel(names["double"])
    assert double(4) == 8
