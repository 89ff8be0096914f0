"""What layers of aufs and fuse-overlayfs say by names, overlayfs is told by folders around them."""
import os
import stat

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.dump import named

MARK = 'user.overlay.opaque'            # everybody may set it


def tree(top):
    """{path: 'hidden', 'opaque' or 'folder'}"""
    found = {}
    for folder, folders, names in os.walk(str(top)):
        for name in folders + names:
            path = os.path.join(folder, name)
            st = os.lstat(path)
            hidden = stat.S_ISCHR(st.st_mode) and st.st_rdev == 0
            found[os.path.relpath(path, str(top))] = 'hidden' if hidden else 'opaque' if MARK in os.listxattr(path) else 'folder'
    return found


@pytest.fixture
def layer(tmp_path):
    top = tmp_path / 'layer'
    for name in ('etc/.wh.gone', 'etc/stays', 'new/.wh..wh..opq', 'new/file', '.wh.top', '.wh..wh.aufs', 'deep/er/.wh.x'):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text('x')
    (top / 'etc').chmod(0o750)
    (top / 'link').symlink_to('/etc')
    return top


def around(tmp_path, layer):
    above, below = tmp_path / 'above', tmp_path / 'below'
    said = named.around(os.fsencode(str(layer)), os.fsencode(str(above)), os.fsencode(str(below)), MARK)
    return said, above, below


def test_below_is_hidden_what_was_deleted_and_above_are_the_marks(tmp_path, layer):
    before = sorted(str(path) for path in layer.rglob('*'))
    said, above, below = around(tmp_path, layer)
    assert said == (True, True) and sorted(str(path) for path in layer.rglob('*')) == before
    assert tree(below) == {'etc': 'folder', 'etc/gone': 'hidden', 'new': 'opaque', 'top': 'hidden', 'deep': 'folder', 'deep/er': 'folder',
                           'deep/er/x': 'hidden'}
    assert {name for name, what in tree(above).items() if what == 'hidden'} == {
        'etc/.wh.gone', 'new/.wh..wh..opq', '.wh.top', '.wh..wh.aufs', 'deep/er/.wh.x'}


def test_folders_above_look_like_those_of_the_layer(tmp_path, layer):
    dummy, above, dummy = around(tmp_path, layer)
    assert stat.S_IMODE(os.stat(str(above / 'etc')).st_mode) == 0o750


def test_an_attribute_says_opaque_too(tmp_path):
    (tmp_path / 'layer' / 'd').mkdir(parents=True)
    os.setxattr(str(tmp_path / 'layer' / 'd'), 'user.fuseoverlayfs.opaque', b'y')
    said, dummy, below = around(tmp_path, tmp_path / 'layer')
    assert said == (False, True) and tree(below) == {'d': 'opaque'}


def test_a_layer_that_hides_nothing_needs_nothing(tmp_path):
    (tmp_path / 'layer' / 'd').mkdir(parents=True)
    (tmp_path / 'layer' / 'd' / 'file').write_text('x')
    assert around(tmp_path, tmp_path / 'layer')[0] == (False, False)
