"""What the module does beside gathering: its manners. The facts themselves are tested in tests/unit/storage and audit."""

import ctypes
import os

import deadroot
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.usage import parallel
from ansible_collections.lifeboat.docker.plugins.modules import docker_layer_facts

IOPRIO_GET = {'x86_64': 252, 'aarch64': 31}.get(os.uname().machine)


class Module:
    check_mode = False

    def __init__(self, **params):
        self.params = dict(
            host_root='/', data_roots=[], containerd_root=None, engines=['all'], containers=[], gather_subset=['containers', 'usage'], images=[], redact=True,
            changes_limit=1000, top_count=10, top_depth=2, scan_timeout=0, scan_max_files=0, io_class='normal', noise=[], state_path=None,
            unlock_key=None)
        self.params.update(params)


def in_a_child(work):
    """What WORK() returns, in a process of its own: manners cannot be taken back."""
    value, error = parallel.run([work, lambda: None], 2)[0]
    if error is not None:
        raise error
    return value


@pytest.mark.skipif(IOPRIO_GET is None, reason='the number of ioprio_get is not known here')
@pytest.mark.parametrize('name, expected', [('normal', (0, 0)), ('best-effort', (2, 5)), ('idle', (3, 19))])
def test_io_class_holds_for_those_who_walk(name, expected, tmp_path, monkeypatch):
    """(I/O class, niceness) of the processes that walk the trees."""
    deadroot.build(str(tmp_path / 'var/lib/docker'), host_root=str(tmp_path))
    run = parallel.run

    def looking(jobs, workers=None):
        found.append(run([lambda: (ctypes.CDLL(None).syscall(IOPRIO_GET, 1, 0) >> 13, os.nice(0) - before)] * 2, 2))
        return run(jobs, workers)

    def work():
        monkeypatch.setattr(parallel, 'run', looking)
        result = docker_layer_facts.gather(Module(host_root=str(tmp_path), io_class=name))
        assert any(one['usage']['files'] for one in result['ansible_facts']['docker_layers']['containers'] if 'usage' in one)
        return found

    found, before = [], os.nice(0)
    (walkers,) = in_a_child(work)
    for seen, error in walkers:
        assert error is None
        assert seen[1] == min(expected[1], 19 - before) and (seen[0] == expected[0] or name == 'normal'), seen
