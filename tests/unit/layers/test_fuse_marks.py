"""The marks of fuse-overlayfs 1.14, which writes an opaque folder in three ways at once, and what c/storage writes beside them."""
import os
import stat

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.layers import encodings, union
from ansible_collections.lifeboat.docker.plugins.module_utils.records import model

TYPES = encodings.FuseOverlayfs.TYPES


def test_the_third_mark_is_neither_content_nor_a_deletion():
    split = encodings.FuseOverlayfs().split
    assert split([b'.wh..opq', b'.wh..wh..opq', b'file']) == ([b'file'], [], True)
    assert split([b'.wh..opq', b'file']) == ([b'file'], [b'.opq'], False)       # alone it deletes a file of that name


def test_a_folder_with_all_marks(tmp_path):
    for layer in ('upper', 'lower'):
        (tmp_path / layer / 'd').mkdir(parents=True)
    (tmp_path / 'upper/d/.wh..wh..opq').write_text('')
    (tmp_path / 'upper/d/.wh..opq').write_text('')
    (tmp_path / 'upper/d/new').write_text('')
    for name in ('.opq', 'old'):
        (tmp_path / 'lower/d' / name).write_text('')
    layers = [model.Layer(os.fsencode(str(tmp_path / layer)), model.FUSE_OVERLAYFS) for layer in ('upper', 'lower')]
    with union.View(layers) as view:
        assert [entry.path for entry in view.entries()] == [b'd', b'd/new']


@pytest.mark.parametrize('value, expected', [
    (b'0:0:0755:dir', (stat.S_IFDIR | 0o755, 0, 0)), (b'999:998:100600', (stat.S_IFREG | 0o600, 999, 998)), (b'0:0:40755', (stat.S_IFREG | 0o755, 0, 0)),
    (b'1:2:644:file\0', (stat.S_IFREG | 0o644, 1, 2)), (b'1:2:644:symlink-and-more', (stat.S_IFLNK | 0o644, 1, 2)),
    (b'1:2:600:block-8-1', (stat.S_IFBLK | 0o600, 1, 2)), (b'1:2', None), (b'x:y:z', None), (b'', None)])
def test_what_the_attribute_says(tmp_path, value, expected):
    path = tmp_path / 'file'
    path.write_text('')
    was = os.lstat(str(path))
    found = encodings.overridden(was, value, TYPES)
    assert (found.st_mode, found.st_uid, found.st_gid) == (expected or (was.st_mode, was.st_uid, was.st_gid))
