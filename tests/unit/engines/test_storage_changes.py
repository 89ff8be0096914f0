"""What `podman diff` prints: the walk of a writable layer on overlay, and two views compared for other drivers. Each case was seen on Podman 4.3
(containers/storage pkg/archive/changes.go, changes_linux.go)."""
import os

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.disk.host import HostRoot
from ansible_collections.lifeboat.docker.plugins.module_utils.engines.shared.storage import changes
from ansible_collections.lifeboat.docker.plugins.module_utils.layers import changes as plain
from ansible_collections.lifeboat.docker.plugins.module_utils.records import model

DIR, OPAQUE = object(), object()


class Layers:
    """A stack of layers, top first, each {path: bytes of a file, DIR, OPAQUE (a folder made anew) or the target of a link (text)}."""

    def __init__(self, top, encoding, *layers):
        self.top = str(top)
        folders = []
        for number, content in enumerate(layers):
            folder = os.path.join(self.top, 'store', str(number), 'diff')
            os.makedirs(folder)
            folders.append(model.Layer(os.fsencode(folder), encoding))
            for path, value in content.items():
                self._make(os.path.join(folder, path), value)
        self.stack = model.Stack(folders[0], None, tuple(folders[1:]))

    @staticmethod
    def _make(path, value):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if value is DIR or value is OPAQUE:
            os.makedirs(path, exist_ok=True)
            if value is OPAQUE:
                os.setxattr(path, 'user.overlay.opaque', b'y')
        elif isinstance(value, bytes):
            with open(path, 'wb') as out:
                out.write(value)
            os.utime(path, (1, 1))
        else:
            os.symlink(value, path)

    def changes(self):
        return {(item.kind, item.path.decode()) for item in changes.of_upper(self.stack, HostRoot(os.fsencode(self.top)))}


@pytest.mark.parametrize('below, expected', [
    ({'d/x': b'file'}, {('C', 'd'), ('D', 'd/x')}), ({'d/x': DIR}, {('C', 'd'), ('D', 'd/x')}), ({'d/x': '.'}, {('C', 'd'), ('D', 'd/x')}),
    ({'d/other': b''}, {('C', 'd'), ('A', 'd/x')})])
def test_a_folder_made_anew_where_anything_was(tmp_path, below, expected):
    """Podman says D of it, whatever was there before: a folder or a file."""
    assert Layers(tmp_path, model.OVERLAY_USER, {'d/x': OPAQUE}, below).changes() == expected


@pytest.mark.parametrize('target, kind', [('nowhere', 'A'), ('/nowhere', 'A'), ('there', 'C'), ('/etc/host', 'C'), ('../../outside', 'C'),
                                          ('./d/../there', 'C')])
def test_a_link_below_counts_only_if_it_leads_somewhere(tmp_path, target, kind):
    """Podman follows it, from the folder of the layer on the host, and on the host's own root."""
    (tmp_path / 'etc').mkdir()
    (tmp_path / 'etc/host').write_bytes(b'')
    layers = Layers(tmp_path, model.OVERLAY_USER, {'link': b'new'}, {'link': target, 'there': b'', 'd/x': b''})
    (tmp_path / 'store/outside').write_bytes(b'')       # ../../ of store/1/diff
    assert layers.changes() == {(kind, 'link')}


def test_a_folder_that_was_a_link_to_one(tmp_path):
    """What lies behind a link of a lower layer counts as being there."""
    layers = Layers(tmp_path, model.OVERLAY_USER, {'d/old': b'new', 'd/new': b''}, {'d': 'real', 'real/old': b'old'})
    os.chmod(str(tmp_path / 'store/0/diff/d'), 0o711)
    assert layers.changes() == {('C', 'd'), ('C', 'd/old'), ('A', 'd/new')}


def test_links_in_a_circle_end(tmp_path):
    assert Layers(tmp_path, model.OVERLAY_USER, {'link': b'', 'd/x': b''}, {'link': 'link', 'd': 'd'}).changes()


def naive(path, attributes):
    layers = Layers(path, model.FUSE_OVERLAYFS, {'file': b'same', 'd': DIR}, {'file': b'same', 'd': DIR})
    for name, value in attributes.items():
        os.setxattr(str(path / 'store/0/diff/file'), name, value)
    return layers.stack


@pytest.mark.parametrize('attributes, changed', [({}, False), ({'user.note': b'1'}, True), ({'user.fuseoverlayfs.origin': b'x'}, False),
                                                 ({'user.overlay.origin': b''}, False)])
def test_attributes_of_users_where_two_views_are_compared(tmp_path, attributes, changed):
    """Podman compares them, too; Docker does not."""
    stack = naive(tmp_path, attributes)
    assert {(item.kind, item.path) for item in changes.of_views(stack)} == ({('C', b'file')} if changed else set())
    assert list(plain.changes(stack)) == []
