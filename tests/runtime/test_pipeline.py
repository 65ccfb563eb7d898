"""Work in threads: a batch dealt out to the cores, and one item ahead."""

import multiprocessing
import threading

import pytest
import torch

from scalenet.runtime.parallel import parallel_forward
from scalenet.runtime.pipeline import prefetch

from ..small_networks import small_network


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("images", [1, 2, 5])
def test_a_dealt_out_batch_gives_what_the_batch_gives(images, two_threads):
    model = small_network("segmentation").eval()
    x = torch.randn(images, 3, 64, 96)
    with torch.inference_mode():
        expected = model(x)
    torch.testing.assert_close(parallel_forward(model, x), expected, rtol=1e-4, atol=1e-5)
    assert not parallel_forward(model, x).requires_grad


def test_several_outputs_are_joined_each(two_threads):
    x = torch.arange(5.0)[:, None]
    once, twice = parallel_forward(lambda part: (part, 2 * part), x)
    assert torch.equal(once, x) and torch.equal(twice, 2 * x)


def test_the_parts_share_the_threads_and_nobody_elses_change(two_threads):
    seen = {}

    def note(part):
        seen[threading.current_thread().name] = torch.get_num_threads()
        return part

    parallel_forward(note, torch.zeros(4, 1))
    assert set(seen.values()) == {1} and threading.current_thread().name not in seen
    later = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert torch.get_num_threads() == 2 and later == [2]


def test_what_fails_in_a_part_is_raised(two_threads):
    def refuse(part):
        raise ValueError("no such image")

    with pytest.raises(ValueError, match="no such image"):
        parallel_forward(refuse, torch.zeros(2, 1))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system does not fork")
def test_a_forked_process_has_threads_of_its_own(two_threads):
    parallel_forward(lambda part: part, torch.zeros(2, 1))
    child = multiprocessing.get_context("fork").Process(
        target=parallel_forward, args=(lambda part: part, torch.zeros(2, 1))
    )
    child.start()
    child.join(30)
    ended = child.exitcode
    child.kill()
    assert ended == 0


def test_prefetch_keeps_the_order_and_works_on_the_next():
    begun = [threading.Event() for _ in range(4)]

    def work(i):
        begun[i].set()
        return i * i

    for i, square in prefetch(work, range(4)):
        assert square == i * i
        assert i == 3 or begun[i + 1].wait(5)
        assert i > 1 or not begun[i + 2].is_set()
    assert list(prefetch(work, [])) == []


def test_prefetch_gives_what_was_done_before_an_error():
    def work(i):
        if i == 2:
            raise ValueError("two")
        return i

    done = []
    with pytest.raises(ValueError, match="two"):
        done.extend(i for i, _ in prefetch(work, range(5)))
    pairs = prefetch(work, range(5))
    assert next(pairs) == (0, 0) and next(pairs) == (1, 1)
    with pytest.raises(ValueError, match="two"):
        next(pairs)
