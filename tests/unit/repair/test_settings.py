"""What belongs to the engine and lies outside of its data root: daemon.json, the pid file, a containerd of its own service."""
import json
import os

import pytest
from repairing import Dead, codes, put, snapshot

from ansible_collections.lifeboat.docker.plugins.module_utils.repair import run, settings


@pytest.fixture
def dead(tmp_path):
    return Dead(tmp_path, containers=2)


def host_file(dead, name, data):
    path = os.path.join(dead.top, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    put(path, data)
    return path


@pytest.mark.parametrize('raw, meant', [
    (b'{\n  "debug": true,\n}\n', {'debug': True}),
    (b'\xef\xbb\xbf{"debug": true}', {'debug': True}),
    (b'{"a": "x // y, }", // why\n "b": [1, 2, /* three */ ], # no\n}', None),
    (b'{"a": "x // y, }", // why\n "b": [1, 2, /* three */ ], }', {'a': 'x // y, }', 'b': [1, 2]}),
    (b'{"a": 1, // last\n}', {'a': 1}),
    (b'', {}),
    (b'\0\0\0\0', {}),
    (b'// nothing\n', {}),
    (b'{"graph": "/srv/docker", "debug": false}', {'data-root': '/srv/docker', 'debug': False}),
    (b'{"log-opts": {"graph": "x"}, "graph": "/srv"}', None),
    (b'{"graph": "/a", "data-root": "/b"}', None),
    (b'{"debug": true}', None),
    (b'{"debug": tru', None),
    (b'{"a" "b"}', None),
    (b'[1,]', None),
])
def test_nothing_but_the_form_of_daemon_json_is_corrected(raw, meant):
    better = settings.corrected(raw)
    assert (json.loads(better.decode()) if better is not None else None) == meant


def test_daemon_json_is_changed_only_on_request_and_undone(dead):
    path = host_file(dead, 'etc/docker/daemon.json', b'{\n  "debug": true,\n}\n')
    before = snapshot(dead.top)
    step = next(one for one in dead.plan() if one['code'] == 'DAEMON_JSON')
    assert (step['path'], step['certainty'], step['selected']) == (path, 'choice', False)
    dead.run()
    with open(path, 'rb') as stream:
        assert stream.read() == b'{\n  "debug": true,\n}\n'
    dead.run(steps=['DAEMON_JSON'])
    with open(path, 'rb') as stream:
        assert json.loads(stream.read().decode()) == {'debug': True}
    assert dead.run(run.REVERTED)['unresolved'] == []
    assert {name: one for name, one in snapshot(dead.top).items() if 'lifeboat-repair' not in name and name != 'var/lib'} == \
        {name: one for name, one in before.items() if name != 'var/lib'}


def test_the_diff_of_daemon_json_hides_secrets(dead):
    host_file(dead, 'etc/docker/daemon.json', b'{"proxies": {"http-proxy": "http://me:hunter2secret@proxy:3128"},}')
    result = dead.run(run.PLANNED, steps=['DAEMON_JSON'])
    assert 'hunter2secret' not in json.dumps(result)
    assert any(one['after_header'].endswith('(DAEMON_JSON)') for one in result['diff'])


def test_a_pid_file_that_names_another_process_is_removed(dead):
    path = host_file(dead, 'run/docker.pid', b'%d' % os.getpid())
    os.makedirs(os.path.join(dead.top, 'var'), exist_ok=True)
    os.symlink('../run', os.path.join(dead.top, 'var/run'))
    step = next(one for one in dead.plan() if one['code'] == 'PID_FILE')
    assert (step['path'], step['operation'], step['certainty']) == (path, 'aside', 'certain')
    dead.run()
    assert not os.path.exists(path)
    assert dead.run(run.REVERTED)['unresolved'] == []
    with open(path, 'rb') as stream:
        assert stream.read() == b'%d' % os.getpid()


@pytest.mark.parametrize('raw', [b'', b'garbage', b'99999999999999', b'2147483646'])
def test_a_pid_file_that_dockerd_does_not_mind_is_left(dead, raw):
    host_file(dead, 'var/run/docker.pid', raw)
    assert 'PID_FILE' not in codes(dead.plan())


def test_a_pid_file_of_a_living_dockerd_is_left_and_said(dead, monkeypatch):
    host_file(dead, 'var/run/docker.pid', b'77')
    monkeypatch.setattr(settings.hosts, 'read_proc', lambda pid, name, limit=0: b'dockerd\n' if pid == 77 else b'')
    result = dead.run(run.PLANNED)
    assert 'PID_FILE' not in codes(result['plan']) and 'PID_FILE' in [one['code'] for one in result['unresolved']]


# -- /var/lib/containerd of its own service -----------------------------------------------------------------------------


META = 'io.containerd.metadata.v1.bolt/meta.db'


def containerd(dead, data=b'garbage' * 3000):
    return host_file(dead, 'var/lib/containerd/' + META, data)


def test_a_broken_database_of_a_containerd_that_holds_no_layers_is_moved_aside(dead):
    path = containerd(dead)
    step = next(one for one in dead.plan() if one['code'] == 'CONTAINERD_DB')
    assert (step['path'], step['operation']) == (path, 'aside')
    dead.run()
    assert not os.path.exists(path)
    assert dead.run(run.REVERTED)['unresolved'] == []
    with open(path, 'rb') as stream:
        assert stream.read() == b'garbage' * 3000


@pytest.mark.parametrize('holds', ['io.containerd.snapshotter.v1.overlayfs/snapshots/1', 'io.containerd.content.v1.content/blobs/sha256/' + 'a' * 64])
def test_one_that_holds_layers_of_anybody_is_never_touched(dead, holds):
    path = containerd(dead)
    os.makedirs(os.path.join(dead.top, 'var/lib/containerd', holds))
    if 'snapshots' in holds:
        host_file(dead, 'var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/metadata.db', b'garbage' * 3000)
    result = dead.run(steps=['all'])
    assert 'CONTAINERD_DB' in [one['code'] for one in result['unresolved']] and 'CONTAINERD_DB' not in codes(result['plan'])
    assert os.path.exists(path)
