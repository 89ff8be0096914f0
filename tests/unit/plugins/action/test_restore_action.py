"""A bundle on the controller that is handed over piece by piece: the action plugin against the module's own end of it."""
import contextlib
import json
import os
import shutil
import subprocess
import threading
import time
import types

import pytest
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

from ansible_collections.lifeboat.docker.plugins.action import docker_data_restore as action
from ansible_collections.lifeboat.docker.plugins.module_utils.transport import channel, inbox
from ansible_collections.lifeboat.docker.tests.unit.restore.bundles import ROOT, make_bundle, member, tar_bytes

LARGE = os.urandom(1 << 18)
FILES = {'volumes/data.tar': tar_bytes([ROOT, member('./large', LARGE)]), 'volumes/second.tar': tar_bytes([ROOT]),
         'config/config.v2.json': b'{"ID": "%s", "Name": "/web"}' % (b'c' * 64), 'config/hostconfig.json': b'{}'}
JOB = 'j123456789012.4242'


class Node(object):
    """The host: a folder, and the module in a thread. WANTED: files that it reads; RESULT: what it ends with."""

    def __init__(self, folder, wanted=(b'volumes/data.tar',)):
        self.folder = str(folder)
        self.wanted = wanted
        self.result = {'changed': True, 'volumes': []}
        self.came = {}
        self.error = None
        self.thread = None
        self.calls = []
        self.no_job = None

    def module(self, module_name=None, module_args=None, **dummy):
        if module_name == 'ansible.legacy.async_status':
            self.calls.append(module_args['mode'])
            done = self.thread is None or not self.thread.is_alive()
            return dict(self.result if not self.error else {'failed': True, 'msg': self.error}, finished=1) if done else {'finished': 0}
        self.calls.append('start')
        if self.no_job is not None:
            return self.no_job
        self.thread = threading.Thread(target=self._work, args=(os.fsencode(module_args['path']),))
        self.thread.start()
        return {'ansible_job_id': JOB, 'started': 1}

    def _work(self, folder):
        box = inbox.Inbox(folder)
        try:
            info = box.info()
            for name in self.wanted:
                stream = box.stream(name)
                with os.fdopen(stream.fd, 'rb') as data:
                    self.came[name] = data.read()
                stream.finish()
            assert info.remote is box
        except Exception as exc:
            self.error = str(exc)
        finally:
            box.close()

    def command(self, command, sudoable=False):
        done = subprocess.run(['sh', '-c', command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        return {'rc': done.returncode, 'stdout': done.stdout.decode(), 'stderr': done.stderr.decode()}


@pytest.fixture
def node(tmp_path, monkeypatch):
    made = Node(tmp_path / 'node')
    monkeypatch.setattr(action, 'NAP', 0.01)
    monkeypatch.setattr(action, 'TELL', 0.05)
    monkeypatch.setattr(action.C, 'DEFAULT_LOCAL_TMP', str(tmp_path))
    monkeypatch.setattr(action.display, 'display', lambda *dummy: None)
    monkeypatch.setattr(ActionBase, 'run', lambda *dummy: {})
    yield made
    if made.thread:
        made.thread.join(10)
        assert not made.thread.is_alive()


@pytest.fixture
def plugin(node):
    """plugin(options) -> the result of a task with them."""
    def run(check_mode=False, **args):
        made = action.ActionModule.__new__(action.ActionModule)
        made._task = types.SimpleNamespace(args=args, async_val=0, check_mode=check_mode)
        made._play_context = types.SimpleNamespace(remote_addr='dead1')
        made._loader = types.SimpleNamespace(path_dwim=lambda path: path)
        made._connection = types.SimpleNamespace(_shell=types.SimpleNamespace(tmpdir=None), put_file=shutil.copyfile)
        made._make_tmp_path = lambda: os.mkdir(node.folder) or node.folder
        made._remove_tmp_path = lambda path, force=False: shutil.rmtree(path) if path else None
        made._execute_module = node.module
        made._low_level_execute_command = node.command
        made.get_shell_option = lambda dummy, default: default
        return made.run(task_vars={})
    return run


@pytest.fixture
def bundle(tmp_path):
    return os.fsdecode(make_bundle(tmp_path / 'bundle', FILES, {'container': {'name': 'web', 'id': 'c' * 64}}, 'container'))


def test_what_the_module_asks_for_arrives_as_it_is(plugin, node, bundle, monkeypatch):
    monkeypatch.setattr(action, 'CHUNK', 1 << 16)               # several pieces
    node.wanted = (b'volumes/data.tar', b'volumes/second.tar')
    result = plugin(path=bundle, remote_src=False, restore=['volumes'])
    assert node.error is None and result == {'changed': True, 'volumes': []}
    assert node.came == {name: FILES[os.fsdecode(name)] for name in node.wanted}
    assert node.calls[0] == 'start' and node.calls[-1] == 'cleanup'


def test_an_empty_file_is_one_piece():
    assert list(action._with_last(iter([]))) == [(b'', True)]
    assert list(action._with_last(iter([b'a', b'b']))) == [(b'a', False), (b'b', True)]


def damage(bundle):
    with open(os.path.join(bundle, 'volumes/data.tar'), 'r+b') as handle:
        handle.seek(2000)
        handle.write(b'other bytes')


def test_a_damaged_bundle_is_not_even_begun(plugin, node, bundle):
    damage(bundle)
    result = plugin(path=bundle, remote_src=False, restore=['volumes'])
    assert result['failed'] and 'is damaged and is not restored' in result['msg'] and node.calls == []


def test_a_bundle_that_changes_meanwhile_is_not_restored(plugin, node, bundle):
    begin = node._work

    def work(folder):
        damage(bundle)
        begin(folder)
    node._work = work
    result = plugin(path=bundle, remote_src=False, restore=['volumes'])
    assert result['failed'] and 'was changed after it was checked' in result['msg']


@pytest.mark.parametrize('asked', [b'../../etc/shadow', b'/etc/shadow', b'volumes/none.tar'])
def test_the_host_gets_nothing_but_files_of_the_bundle(plugin, node, bundle, asked):
    node.wanted = (asked,)
    with pytest.raises(AnsibleActionFail) as raised:
        plugin(path=bundle, remote_src=False, restore=['volumes'])
    assert 'invalid message' in str(raised.value) and not node.came.get(asked)


def test_nothing_is_left_behind(plugin, node, bundle, tmp_path):
    plugin(path=bundle, remote_src=False, restore=['volumes'])
    assert not os.path.exists(node.folder) and [name for name in os.listdir(str(tmp_path)) if name.startswith('lifeboat-')] == []


def test_a_module_that_fails_before_it_is_in_the_background(plugin, node, bundle):
    node.no_job = {'failed': True, 'msg': 'no Python\x1b[2J', 'extra': 'x'}
    result = plugin(path=bundle, remote_src=False, restore=['volumes'])
    assert result['failed'] and 'no Python' in result['msg'] and '\x1b' not in json.dumps(result) and 'extra' not in result


def test_a_lost_connection_stops_the_module(plugin, node, bundle, monkeypatch):
    def lost(*dummy, **more):
        raise AnsibleConnectionFailure('connection lost')
    monkeypatch.setattr(action._Feeder, 'step', lost)
    with pytest.raises(AnsibleConnectionFailure):
        plugin(path=bundle, remote_src=False, restore=['volumes'])
    node.thread.join(10)
    assert 'controller gave up' in node.error or 'cannot be' in node.error


def test_a_module_that_was_ended_together_with_its_job(plugin, node, bundle, monkeypatch):
    """Somebody ends both processes on the host: the result never comes, and nobody waits for it for ever."""
    monkeypatch.setattr(action, 'GRACE', 0.2)
    module = node.module

    def never(module_name=None, **more):
        return dict(module(module_name=module_name, **more), finished=0) if module_name == 'ansible.legacy.async_status' \
            else module(module_name=module_name, **more)
    monkeypatch.setattr(node, 'module', never)
    result = plugin(path=bundle, remote_src=False, restore=['volumes'])
    assert result['failed'] and 'left no result' in result['msg'] and node.calls[-1] == 'cleanup'


def silent(node, monkeypatch):
    """The job of NODE is said to run, whatever is true: that is what the host knows of one that was killed with the process that waits for it."""
    monkeypatch.setattr(action, 'SILENT', 0.5)
    module = node.module
    monkeypatch.setattr(node, 'module', lambda module_name=None, **more: {'finished': 0, 'started': 1} if module_name == 'ansible.legacy.async_status'
                        and node.calls.append(more['module_args']['mode']) is None else module(module_name=module_name, **more))


@pytest.mark.parametrize('begun', [False, True])
def test_a_module_that_was_killed_is_noticed(plugin, node, bundle, monkeypatch, begun):
    silent(node, monkeypatch)

    def killed(folder):
        if begun:                       # it wanted something, and was alive until now
            for name in (channel.alive_name(3), channel.want_name(1, b'volumes/data.tar')):
                channel.make(folder, os.fsencode(name))
    monkeypatch.setattr(node, '_work', killed)
    began = time.monotonic()
    result = plugin(path=bundle, remote_src=False, restore=['volumes'])
    assert result['failed'] and 'was killed' in result['msg'] and node.calls[-1] == 'cleanup'
    assert time.monotonic() - began < 10 and not os.path.exists(node.folder)


def test_a_module_that_works_long_is_not_taken_for_dead(plugin, node, bundle, monkeypatch):
    monkeypatch.setattr(action, 'SILENT', 0.5)
    monkeypatch.setattr(inbox, 'BEAT', 0.05)
    work = node._work

    def slow(folder):
        with contextlib.closing(inbox.Inbox(folder)):
            time.sleep(1.5)
        os.unlink(os.path.join(os.fsdecode(folder), channel.DONE))
        work(folder)
    monkeypatch.setattr(node, '_work', slow)
    assert plugin(path=bundle, remote_src=False, restore=['volumes']) == node.result


def test_from_the_node_the_module_alone_does_it(plugin, node):
    node.no_job = {'changed': False}
    assert plugin(path='/srv/bundle') == {'changed': False}


@pytest.mark.parametrize('options, words', [
    ({'remote_src': False}, 'path is missing'), ({'remote_src': 'perhaps', 'path': '/x'}, 'remote_src must be a boolean'),
    ({'remote_src': False, 'path': '/x', 'volume_map': 'a=b'}, 'volume_map must be a dictionary')])
def test_wrong_use(plugin, bundle, options, words):
    if 'volume_map' in options:
        options = dict(options, path=bundle)
    with pytest.raises(AnsibleActionFail) as raised:
        plugin(**options)
    assert words in str(raised.value)


def test_a_folder_without_a_bundle(plugin, tmp_path):
    (tmp_path / 'empty').mkdir()
    result = plugin(path=str(tmp_path / 'empty'), remote_src=False)
    assert result['failed'] and 'empty' in result['msg']


def test_several_bundles_one_after_the_other(plugin, node, tmp_path):
    for name in ('one', 'two'):
        make_bundle(tmp_path / 'many' / name, dict(FILES), {'container': {'name': name, 'id': name[0] * 64}}, 'container')
    result = plugin(path=str(tmp_path / 'many'), remote_src=False, restore=['volumes'])
    assert result['changed'] and node.calls.count('start') == 2 and not result.get('failed')
