"""containerd roots of Kubernetes and of nerdctl that tests/fixtures/deadkube.py has built: no engine is needed, but root is, for marks and
owners."""
import os

import deadkube
import kube_damage
import pytest
from docker_built import BuiltDocker
from rig import dead


class BuiltKubernetes(BuiltDocker):
    """The truth is what the builder put there."""

    KINDS = ('built-kubernetes',)
    DAMAGES = kube_damage.KUBERNETES
    BLINDING = kube_damage.BLINDING
    ROLES = {'web': 'shop/web-pod/web', 'db': 'shop/db-pod/db'}
    engine = 'kubernetes'

    @classmethod
    def build(cls, kind, request):
        if os.geteuid():
            pytest.skip('a containerd root of root can only be built by root')
        scratch = str(request.getfixturevalue('tmp_path_factory').mktemp(kind))
        host_root = os.path.join(scratch, 'host')
        expected = deadkube.build(os.path.join(host_root, 'var', 'lib', 'containerd'), containers=6, images=2, layers=4, host_root=host_root,
                                  orphan_layers=1, engine=cls.engine)
        return cls(kind, scratch, host_root, expected)

    def copy(self, target):
        dead.copy_tree(self.host_root, target)
        return type(self)(self.name, self.scratch, target, self.expected)

    def layers(self, name):
        item = self.expected.container(name)
        return [self._moved(path) for path in (item.upper,) + item.lowers]

    def size_pair(self, name, fact):
        return None                     # neither says a size of a dead container

    def renamed(self, role, name):
        return kube_damage.renamed(self, role, name)


class BuiltNerdctl(BuiltKubernetes):
    """The same of nerdctl."""

    KINDS = ('built-nerdctl',)
    DAMAGES = kube_damage.NERDCTL
    BLINDING = kube_damage.NERDCTL_BLINDING
    ROLES = {'web': 'web', 'db': 'db'}
    engine = 'nerdctl'
