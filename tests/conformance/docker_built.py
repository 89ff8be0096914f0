"""Docker hosts that tests/fixtures/deadroot.py has built: no engine is needed, nor root.

Who is not root gets rootless hosts: all files are the user's, and the marks of layers have the user's form.
"""
import hashlib
import os

import deadroot
import docker_damage
import pytest
import subject
from rig import dead, listing

ZERO = '0001-01-01T00:00:00Z'
FORMS = {
    'built-overlay2': {},
    'built-containerd': {'store': 'containerd'},
    'built-vfs': {'driver': 'vfs'},
    'built-btrfs': {'driver': 'btrfs'},
    'built-userns': {'userns': (100000, 200000)},
}
IDS = 65536                             # that a user namespace has
TYPES = {'file': 'f', 'dir': 'd', 'symlink': 'l', 'fifo': 'p', 'socket': 's'}


class BuiltDocker(subject.Subject):
    """The truth is what the builder put there, computed from its trees in memory (deadroot.Expected)."""

    KINDS = tuple(sorted(FORMS))
    DAMAGES = docker_damage.DAMAGES
    BLINDING = docker_damage.BLINDING
    ROLES = {'web': 'web', 'db': 'db'}
    compression = 'none'
    secret = 's3cr3t'

    def __init__(self, name, scratch, host_root, expected):
        self.name, self.scratch, self.host_root, self.expected = name, scratch, host_root, expected
        self.data_root = self._moved(expected.root)
        self.userns = bool(expected.userns)
        self.containerd_root = expected.containerd_root and self._moved(expected.containerd_root)

    @classmethod
    def build(cls, kind, request):
        if 'userns' in FORMS[kind] and os.geteuid():
            pytest.skip('a host with user namespaces can only be built by root')
        scratch = str(request.getfixturevalue('tmp_path_factory').mktemp(kind))
        host_root = os.path.join(scratch, 'host')
        expected = deadroot.build(os.path.join(host_root, 'var', 'lib', 'docker'), containers=6, images=2, layers=4, host_root=host_root,
                                  orphan_layers=1, **FORMS[kind])
        return cls(kind, scratch, host_root, expected)

    def copy(self, target):
        dead.copy_tree(self.host_root, target)
        return BuiltDocker(self.name, self.scratch, target, self.expected)

    def _moved(self, path):
        """PATH (bytes) of the host as it was built, in this copy of it; text."""
        built = os.path.join(os.fsencode(self.scratch), b'host')
        return os.path.join(self.host_root, os.fsdecode(os.path.relpath(path, os.path.realpath(built))))

    def containers(self):
        found = {}
        for item in self.expected.containers:
            state = item.state
            found[item.name] = subject.Container(
                id=item.id, created=item.created, image_id=item.image_id, image_reference=item.image_reference, labels=item.labels,
                status=state['status'], running=state['running'], exit_code=state['exit_code'],
                started_at=None if state['started_at'] == ZERO else state['started_at'], log_driver=item.log_driver,
                mounts=tuple(sorted((m.type, m.name or '', m.destination, m.rw) for m in item.mounts)))
        return found

    def images(self):
        return {item.id: subject.Image(tuple(sorted(item.references)), tuple(layer.diff_id for layer in item.layers))
                for item in self.expected.images}

    def volumes(self):
        names = {item.id: item.name for item in self.expected.containers}
        return {item.name: subject.Volume(item.labels, {}, frozenset(names[user] for user in item.used_by)) for item in self.expected.volumes}

    def layers(self, name):
        item = self.expected.container(name)
        return [self._moved(path) for path in (item.upper, item.init) + item.lowers]

    def size_pair(self, name, fact):
        if self.expected.driver in ('vfs', 'btrfs'):
            return None                 # these count by comparing, or not at all
        nodes = self.expected.container(name).upper_nodes
        links = sum(node.size for node in nodes.values() if node.kind == 'symlink')     # docker ps counts what a link says
        return self.expected.container(name).writable_bytes() + links, fact['usage']['bytes']

    def changes(self, name):
        return set(self.expected.container(name).changes())

    def path_of_change(self, raw):
        return raw

    def _owner(self, node):
        shift = self.expected.userns or (0, 0)
        return node.uid + shift[0], node.gid + shift[1]

    def view(self, name):
        return {path: (TYPES[node.kind], node.mode) + self._owner(node) + (node.size if node.kind == 'file' else 0, node.mtime, node.target)
                for path, node in self.expected.container(name).tree().items()}

    def export(self, name):
        item = self.expected.container(name)
        members, groups = {}, {}
        upper = item.upper_nodes
        for path, node in item.tree().items():
            if node.kind == 'socket':
                continue
            regular = node.kind == 'file'
            # an id outside of the map is shown as the disk has it
            uid, gid = (own if own < IDS else disk for own, disk in zip((node.uid, node.gid), self._owner(node)))
            if os.geteuid():            # a root that an ordinary user built is a rootless one: inside, its owner is root
                uid, gid = 0, 0
            members[path] = (TYPES[node.kind], node.mode, uid, gid, node.size if regular else 0, node.mtime // 10 ** 9, node.target, None,
                             hashlib.sha256(node.content()).hexdigest() if regular else None)
            if node.inode is not None:  # names of one file have to come from one layer
                groups.setdefault((node.inode, path in upper), set()).add(path)
        return members, {frozenset(group) for group in groups.values() if len(group) > 1}, set()

    def logs(self, name):
        item = self.expected.container(name)
        if not item.log_files:
            return None
        streams = {'stdout': b'', 'stderr': b''}
        whole = dict.fromkeys(streams, True)
        for stream, when, line in item.log_records:
            stamp = deadroot.content.rfc3339(when - when % 10 ** 9)[:-1].encode() + b'.%09dZ ' % (when % 10 ** 9)
            streams[stream] += stamp + line
            whole[stream] = line.endswith(b'\n')
        return tuple(streams[stream].splitlines() for stream in ('stdout', 'stderr'))

    def volume_tree(self, name):
        return self._seen_inside(listing.listing(self._moved(self.expected.volume(name).path)))

    def _seen_inside(self, tree):
        shift = self.expected.userns
        if shift is None:
            return tree
        return [dict(item, uid=item['uid'] - (shift[0] if item['uid'] >= shift[0] else 0),
                     gid=item['gid'] - (shift[1] if item['gid'] >= shift[1] else 0)) for item in tree]

    def bind_trees(self):
        return {mount.source: listing.listing(self._moved(mount.path))
                for item in self.expected.containers for mount in item.mounts if mount.type == 'bind'}

    def renamed(self, role, name):
        return docker_damage.renamed(self, role, name)
