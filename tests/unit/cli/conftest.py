"""A dead host that code has built, and the tool called on it as a person would."""
import collections
import os

import deadroot
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.cli import main

Ran = collections.namedtuple('Ran', 'status out err')


@pytest.fixture(scope='session', params=['graphdriver', 'containerd'])
def dead(request, tmp_path_factory):
    """(deadroot.Expected, host root as text). Do not write into it."""
    tmp = tmp_path_factory.mktemp('host')
    return deadroot.build(str(tmp / 'var' / 'lib' / 'docker'), containers=5, host_root=str(tmp), orphan_layers=1,
                          store=request.param), str(tmp)


@pytest.fixture
def lifeboat(dead, capfdbinary):
    """lifeboat('ls', 'web:/') -> Ran(status, out, err)."""
    def run(*words, **options):
        capfdbinary.readouterr()
        status = main.main(['--host-root', options.pop('host_root', dead[1])] + list(words))
        out, err = capfdbinary.readouterr()
        return Ran(status, out, err.decode('utf-8', 'surrogateescape'))
    return run


@pytest.fixture
def root_only():
    if os.geteuid():
        pytest.skip('needs root')
