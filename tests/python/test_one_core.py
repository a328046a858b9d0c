"""The tests pass where this process may use one core only, as in small containers."""

import os

import pytest
from test_dataset import test_default_collate_gives_two_batches as in_two_batches

if not hasattr(os, "sched_setaffinity"):
    pytest.skip("Linux limits a process to cores", allow_module_level=True)


@pytest.fixture
def one_core():
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)


@pytest.mark.parametrize("workers", [0, 2])
def test_more_workers_than_cores(one_core, image_folder, workers):
    in_two_batches(image_folder, workers)
