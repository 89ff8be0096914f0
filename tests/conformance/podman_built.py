"""Graph roots of Podman and CRI-O that tests/fixtures/deadpodman.py has built: no engine is needed, but root is, for marks and owners."""
import os

import deadpodman
import podman_damage
import pytest
from docker_built import BuiltDocker
from rig import dead

FORMS = {
    'built-podman': {},
    'built-podman-bolt': {'database': 'bolt', 'lower_layers': False},
    'built-podman-vfs': {'driver': 'vfs'},
    'built-crio': {'crio': True},
}


class BuiltPodman(BuiltDocker):
    """The truth is what the builder put there."""

    KINDS = tuple(sorted(FORMS))
    DAMAGES = podman_damage.DAMAGES
    BLINDING = {}
    ROLES = {'web': 'web', 'db': 'db'}

    @classmethod
    def build(cls, kind, request):
        if os.geteuid():
            pytest.skip('a graph root of root can only be built by root')
        scratch = str(request.getfixturevalue('tmp_path_factory').mktemp(kind))
        host_root = os.path.join(scratch, 'host')
        expected = deadpodman.build(os.path.join(host_root, 'var', 'lib', 'containers', 'storage'), containers=6, images=2, layers=4,
                                    host_root=host_root, orphan_layers=1, **FORMS[kind])
        found = cls(kind, scratch, host_root, expected)
        if kind == 'built-crio':
            found.ROLES = {role: 'shop/%s-pod/%s' % (name, name) for role, name in cls.ROLES.items()}
        return found

    def copy(self, target):
        dead.copy_tree(self.host_root, target)
        found = type(self)(self.name, self.scratch, target, self.expected)
        found.ROLES = self.ROLES
        return found

    def layers(self, name):
        item = self.expected.container(name)
        return None if self.expected.driver == 'vfs' else [self._moved(path) for path in (item.upper,) + item.lowers]

    def size_pair(self, name, fact):
        return None                     # Podman counts more than the files

    def renamed(self, role, name):
        return podman_damage.renamed(self, role, name)
