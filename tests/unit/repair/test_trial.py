"""The copy of the records on which an engine is tried, and what is said where none can be. The start itself: tests/engines/test_repair.py."""
import contextlib
import json
import os

import pytest
from repairing import BREAKS, Dead, load, put, snapshot

from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.repair import run, tops, trial
from ansible_collections.lifeboat.docker.plugins.module_utils.repair.trialcopy import Copy
from ansible_collections.lifeboat.docker.plugins.module_utils.repair.view import View


@contextlib.contextmanager
def view_of(dead):
    with registry.Host(os.fsencode(dead.top), [b'/var/lib/docker']) as host:
        with contextlib.closing(tops.of(host.roots[0])) as top:
            yield View(top)


def copied(dead, target):
    os.mkdir(target)
    with view_of(dead) as view:
        Copy(view, os.fsencode(target)).make()
    return str(target)


@pytest.mark.parametrize('store', ['graphdriver', 'containerd'])
def test_a_copy_has_all_records_and_no_data(tmp_path, store):
    dead = Dead(tmp_path / 'dead', containers=5, store=store)
    for name in ('plugins/' + 'a' * 64, 'swarm'):
        os.makedirs(os.path.join(dead.path, name), exist_ok=True)
        put(os.path.join(dead.path, name, 'config.json'), b'{}')
    before = snapshot(dead.path)
    copy = copied(dead, tmp_path / 'copy')
    assert snapshot(dead.path) == before
    for container in dead.expected.containers:
        with open(os.path.join(copy, 'containers', container.id, 'config.v2.json'), 'rb') as stream, \
                open(dead.folder(container.name, 'config.v2.json'), 'rb') as original:
            assert stream.read() == original.read()
        held = load(os.path.join(copy, 'containers', container.id, 'hostconfig.json'))
        assert held['AutoRemove'] is False and held['RestartPolicy']['Name'] == 'no'
    assert not os.path.exists(os.path.join(copy, 'plugins')) and not os.path.exists(os.path.join(copy, 'swarm'))
    assert sorted(os.listdir(os.path.join(copy, 'volumes'))) == sorted(os.listdir(os.path.join(dead.path, 'volumes')))
    for folder, dummy, names in os.walk(copy):
        assert not names or os.path.basename(folder) not in ('diff', 'fs', '_data', 'work'), folder
        assert not any(name.endswith('.log') or name.startswith('tar-split') for name in names), folder


def test_a_copy_of_a_plan_has_what_the_plan_would_write(tmp_path, monkeypatch):
    dead = Dead(tmp_path, containers=3)
    for name in ('links gone', 'config gone', 'layer removing', 'volumes db gone'):
        BREAKS[name](dead)
    before = snapshot(dead.path)
    seen = {}

    def looked(scratch, covered, expected):
        copy = os.path.join(scratch, 'root')
        seen['links'] = len(os.listdir(os.path.join(copy, 'overlay2/l')))
        seen['config'] = load(os.path.join(copy, 'containers', dead.container('web').id, 'config.v2.json'))['ID']
        seen['record'] = os.path.isfile(os.path.join(copy, 'image/overlay2/layerdb/sha256', dead.expected.images[0].layers[2].chain_id[7:], 'cache-id'))
        seen['volumes'] = os.path.isfile(os.path.join(copy, 'volumes/metadata.db'))
        seen['covered'], seen['expected'] = covered, sorted(expected.containers)
        return trial._result('complete', '')
    monkeypatch.setattr(trial, '_run', looked)
    monkeypatch.setattr(trial, '_unsupported', lambda root, view: '')
    assert dead.run(run.PLANNED, verify='engine')['verified']['engine']['status'] == 'complete'
    assert seen['links'] > 3 and seen['config'] == dead.container('web').id and seen['record'] and seen['volumes']
    assert seen['covered'][0] == dead.path and seen['expected'] == sorted(one.id for one in dead.expected.containers)
    assert snapshot(dead.path) == before and not [name for name in os.listdir(os.path.dirname(dead.path)) if 'trial' in name]


def test_a_machine_without_an_engine_is_said(tmp_path, monkeypatch):
    dead = Dead(tmp_path, containers=1)
    monkeypatch.setattr(trial, 'PATH', str(tmp_path))
    monkeypatch.setattr(os, 'geteuid', lambda: 0)
    told = dead.run(run.PLANNED, verify='engine')['verified']['engine']
    assert told['status'] == 'unsupported' and 'dockerd' in told['why']


def test_a_log_is_shown_without_secrets_and_signs(tmp_path):
    path = str(tmp_path / 'log')
    put(path, b'level=info msg=fine\n' * 50 + b'level=error msg="http://me:hunter2secret@proxy \x1b[2J"\n')
    lines = trial._last(path)
    assert len(lines) == 1 and 'hunter2secret' not in json.dumps(lines) and '\x1b' not in lines[0]
