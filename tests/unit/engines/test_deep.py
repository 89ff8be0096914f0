"""A nest of folders, far deeper than any path can name, must not fill the memory: a container can make one in a second."""
import os
import subprocess
import tracemalloc

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.disk import tree
from ansible_collections.lifeboat.docker.plugins.module_utils.layers import changes, union
from ansible_collections.lifeboat.docker.plugins.module_utils.records import model

LEVELS = 500
NAME = b'd' * 120
LIMIT = 4 << 20                         # all paths together would be 15 MB


@pytest.fixture
def nest(tmp_path):
    """nest(name): path of a folder with LEVELS folders one in another; a file z in the two upper ones and in the lowest."""
    def make(name):
        top = os.path.join(os.fsencode(str(tmp_path)), name)
        os.mkdir(top)
        here = os.open(top, os.O_RDONLY)
        for level in range(LEVELS):
            if level in (0, 1):
                os.close(os.open(b'z', os.O_CREAT | os.O_WRONLY, dir_fd=here))
            os.mkdir(NAME, dir_fd=here)
            os.utime(NAME, (1500000000, 1500000000), dir_fd=here)
            inner = os.open(NAME, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = inner
        os.close(os.open(b'z', os.O_CREAT | os.O_WRONLY, dir_fd=here))
        os.close(here)
        return top
    yield make
    # shutil.rmtree of old Pythons does not come down there
    subprocess.check_call(['rm', '-rf', str(tmp_path)])


def paths(stream):
    """The last part and the length of every path, in order; AssertionError if the memory held them all."""
    found = []
    tracemalloc.start()
    try:
        for item in stream:
            assert not isinstance(item, tree.Failure), item
            found.append((item.path.count(b'/'), len(item.path), item.path[-1:]))
        assert tracemalloc.get_traced_memory()[1] < LIMIT
    finally:
        tracemalloc.stop()
    return found


FOLDERS = [(level, 120 + 121 * level, b'd') for level in range(LEVELS)]
FILES = [(LEVELS, 1 + 121 * LEVELS, b'z'), (1, 122, b'z'), (0, 1, b'z')]


def test_a_folder(nest):
    assert paths(tree.PlainTree(nest(b'x')).entries()) == FOLDERS + FILES


def test_a_layer_and_its_merged_view(nest):
    with union.View([model.Layer(nest(b'x'), model.OVERLAY)]) as view:
        assert paths(view.layer_entries()) == FOLDERS + FILES
        assert paths(view.entries()) == FOLDERS + FILES


def test_changes_at_the_bottom(nest):
    base, top = nest(b'base'), nest(b'top')
    upper, lower = model.Layer(top, model.OVERLAY), model.Layer(base, model.OVERLAY)
    with union.View([upper, lower]) as new, union.View([lower]) as old:
        found = list(paths(changes._Comparison(new, old, True, '').run()))
    # the files differ in their times, so every folder above the lowest one has changed
    assert found == FOLDERS + FILES
