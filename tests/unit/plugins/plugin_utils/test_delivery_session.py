"""Steps and chunks of nodes that were taken over, and what the door lets through of a start, of a restore, of a result."""
import hashlib
import json
import os
import shlex
import subprocess
import time

import pytest
from ansible.errors import AnsibleError

from ansible_collections.lifeboat.docker.plugins.module_utils.transport import channel, frames, spool
from ansible_collections.lifeboat.docker.plugins.plugin_utils import (
    delivery,
    delivery_door as door,
    delivery_guard,
    delivery_session,
    restore_door,
)

PLACES = ['/dev/shm', '/run']
NAME = 'lifeboat-abcd1234'
DIGEST = '0' * 64


class Connection(object):
    transport = 'boxed'

    def __init__(self, files):
        self.files = files
        self.fetched = []
        self.put = []

    def fetch_file(self, source, target):
        self.fetched.append(source)
        with open(target, 'wb') as handle:
            handle.write(self.files.get(source, b''))

    def put_file(self, dummy, target):
        self.put.append(target)

    def reset(self):
        """Nothing to drop."""


class Action(object):
    """An action plugin whose node answers each step with the next of ANSWERS, the last one again and again."""

    def __init__(self, answers, files=None):
        self._connection = Connection(files or {})
        self.answers = list(answers)
        self.commands = []

    def _low_level_execute_command(self, command):
        self.commands.append(command)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        text = answer if isinstance(answer, str) else json.dumps(answer)
        return {'rc': 0, 'stdout': spool.MARKER + text + '\n', 'stderr': ''}


def step(**more):
    return dict({'gone': False, 'alive': True, 'over': False, 'chunks': [], 'state': None, 'said': ''}, **more)


@pytest.fixture
def session():
    """Makes sessions, and closes them."""
    made = []

    def make(scratch, action):
        made.append(delivery_session.Session(action, door.started({'place': 0, 'name': NAME}, PLACES), delivery.Receiver(None),
                                             str(scratch), lambda snapshot: None, 1.0))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.mark.parametrize('said', [
    None, [], 'x', {}, {'place': 0}, {'place': 2, 'name': NAME}, {'place': -1, 'name': NAME}, {'place': True, 'name': NAME},
    {'place': '/etc', 'name': NAME}, {'place': 0, 'name': '../x'}, {'place': 0, 'name': 'lifeboat-x\n!id\n'}, {'place': 0, 'name': NAME + '\n'},
    {'place': 0, 'name': 'lifeboat-$(id)'}, {'place': 0, 'name': 'lifeboat-'}, {'place': 0, 'name': ['x']}])
def test_starts_that_are_none(said):
    with pytest.raises(door.ProtocolError):
        door.started(said, PLACES)


def test_a_start():
    assert door.started({'place': 1, 'name': NAME, 'spool': '/etc'}, PLACES) == ('/run/' + NAME, NAME, '/run')


@pytest.mark.parametrize('answer', [
    '[', '[]', '{}', '{"gone":' + '[' * 100000, '{"gone":1}', step(chunks={}), step(chunks=[[0, 5, DIGEST, '/x\n!id\n']]),
    step(chunks=[[0, 5, DIGEST + '\n!id']]), step(chunks=[['0', 5, DIGEST]]), step(chunks=[[-1, 5, DIGEST]]), step(chunks=[[0, 0, DIGEST]]),
    step(chunks=[[0, channel.MAX_CHUNK + 1, DIGEST]]), step(chunks=[[True, 5, DIGEST]]), step(chunks=[[1, 5, DIGEST], [0, 5, DIGEST]]),
    step(chunks=[[1, 5, DIGEST]]), step(chunks=[[0, 5, DIGEST]] * 2), step(chunks=[[number, 5, DIGEST] for number in range(1001)]),
    step(state=[]), step(state={'phase': 1}), step(said={}), step(alive='yes'), step(over=True)])
def test_answers_that_are_none(answer, tmp_path, session):
    action = Action([answer])
    with pytest.raises(door.ProtocolError) as raised:
        session(tmp_path, action).run()
    assert '\n' not in str(raised.value) and action._connection.fetched == []


def test_paths_are_built_here(tmp_path, session):
    raw = frames.message({'op': 'end', 'result': {'bundles': []}})
    digest = hashlib.sha256(raw).hexdigest()
    path = '/dev/shm/%s/00000000-%s' % (NAME, digest)
    action = Action([step(chunks=[[0, len(raw), digest]], path='/etc/shadow')], {path: raw})
    session(tmp_path, action).run()
    assert action._connection.fetched == [path] and os.listdir(str(tmp_path)) == []
    for command in action.commands:
        words = shlex.split(command)
        assert words[:4] == ['if', '[', '-f', '/dev/shm/%s/step' % NAME] and '/etc/shadow' not in command


def test_a_chunk_that_is_larger_is_refused(tmp_path, session):
    path = '/dev/shm/%s/00000000-%s' % (NAME, DIGEST)
    action = Action([step(chunks=[[0, 5, DIGEST]])], {path: b'x' * 100})
    with pytest.raises(door.ProtocolError):
        session(tmp_path, action).run()
    assert os.listdir(str(tmp_path)) == []


def test_a_file_without_end_is_ended(tmp_path):
    """The program that brings it is killed, and the next that tries is, too."""
    path = str(tmp_path / 'chunk')
    begun = time.monotonic()
    with pytest.raises(door.ProtocolError):
        with delivery_guard.limited({path: 1 << 20}):
            for dummy in range(2):
                subprocess.call('while :; do head -c 100000; sleep 0.01; done < /dev/zero > %s' % shlex.quote(path), shell=True)
            raise AnsibleError('failed to transfer file')
    assert time.monotonic() - begun < 30 and not os.path.exists(path)


def test_a_failed_fetch_stays_what_it_is(tmp_path):
    with pytest.raises(AnsibleError):
        with delivery_guard.limited({str(tmp_path / 'chunk'): 5}):
            raise AnsibleError('failed to transfer file')


@pytest.mark.parametrize('names', [['want-1-'], ['want-x-61'], ['want-1-6'], ['want-1-zz'], ['want-99999999999-61'], ['want-1-62'],
                                   ['want-1-2e2e2f78'], ['want-\u00b2-61'], ['want-%d-61' % number for number in range(17)]])
def test_a_restore_that_asks_for_something_else(names):
    with pytest.raises(door.ProtocolError):
        restore_door.wants(names, {b'a'})


def test_a_restore_that_asks():
    found = restore_door.wants(['want-3-61', 'chunk-3-0', 'chunk-3-1-last', 'chunk-x', 'head.tar', 'done'], {b'a'})
    assert (found.files, found.chunks, found.done) == ({3: b'a'}, {3: 2}, True)


@pytest.mark.parametrize('path', ['', '/', 'x', '/a\n!id\n', '/a"b', "/a'b", '/a/../b', '/a\x1bb', '/a*', None, ['/x']])
def test_folders_of_a_host(path):
    with pytest.raises(door.ProtocolError):
        restore_door.folder(path)


def test_what_a_restore_says():
    found = restore_door.restored({'changed': True, 'ansible_facts': {'x': 1}, 'add_host': {}, 'stdout': 'x', 'ansible_job_id': '1',
                                   'notes': ['a\x1b[2J'], 'diff': {'before': 'a\nb'}})
    assert found == {'changed': True, 'notes': ['a\\x1b[2J'], 'diff': {'before': 'a\nb'}}
    deep = []
    for dummy in range(50):
        deep = [deep]
    for bad in ({'changed': 'yes'}, {'notes': deep}, {'notes': {1, 2}}):
        with pytest.raises(door.ProtocolError):
            restore_door.restored(bad)


@pytest.mark.parametrize('said, uid', [('1000\n', 1000), ('', None), ('\u00b2', None), ('9' * 5000, None), ('motd\n0\n', 0)])
def test_user_ids(said, uid):
    assert door.user_id(said) == uid


# -- connections that fail ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def at_once(monkeypatch):
    """No waiting between two attempts; returns the list of pauses."""
    pauses = []
    monkeypatch.setattr(delivery_session.time, 'sleep', pauses.append)
    return pauses


def ending():
    """(bytes of the message that ends a rescue, its digest, its path in the spool)."""
    raw = frames.message({'op': 'end', 'result': {'bundles': []}})
    digest = hashlib.sha256(raw).hexdigest()
    return raw, digest, '/dev/shm/%s/00000000-%s' % (NAME, digest)


def test_a_chunk_that_was_damaged_on_its_way_is_fetched_again(tmp_path, session, at_once):
    raw, digest, path = ending()
    action = Action([step(chunks=[[0, len(raw), digest]])], {path: raw[:-1] + b'?'})
    fetch = action._connection.fetch_file

    def second_time(source, target):
        fetch(source, target)
        action._connection.files[source] = raw
    action._connection.fetch_file = second_time
    session(tmp_path, action).run()
    assert action._connection.fetched == [path, path]


def test_a_chunk_that_is_always_damaged_ends_it(tmp_path, session, at_once):
    raw, digest, path = ending()
    action = Action([step(chunks=[[0, len(raw), digest]])], {path: raw[:-1] + b'?'})
    with pytest.raises(AnsibleError) as raised:
        session(tmp_path, action).run()
    assert 'damaged on its way' in str(raised.value)
    assert len(action._connection.fetched) == delivery_session.MAX_REFETCH + 1


def test_a_step_without_an_answer_is_tried_again_for_as_long_as_there_is_patience(tmp_path, session, at_once):
    raw, digest, path = ending()
    action = Action([step(chunks=[[0, len(raw), digest]])], {path: raw})
    answer, lost = action._low_level_execute_command, [{'rc': 255, 'stdout': '', 'stderr': 'Broken pipe\x1b[2J'}] * 1

    def command(line):
        return lost.pop() if lost else answer(line)
    action._low_level_execute_command = command
    made = session(tmp_path, action)
    made._patience = 60
    made.run()
    assert not lost and at_once

    action._low_level_execute_command = lambda line: {'rc': 255, 'stdout': '', 'stderr': 'Broken pipe\x1b[2J'}
    made._patience = 0.5
    with pytest.raises(AnsibleError) as raised:
        made._step()
    assert 'gave no answer (status 255)' in str(raised.value) and '\x1b' not in str(raised.value)


@pytest.mark.parametrize('answer', [step(alive=False, said='one\nMemoryError\n'), '{"gone": true}'])
def test_a_process_that_ended_too_early_is_told_with_its_last_words(tmp_path, session, answer):
    with pytest.raises(delivery_session.SenderGone) as raised:
        session(tmp_path, Action([answer])).run()
    assert str(raised.value) == ('MemoryError' if isinstance(answer, dict) else '')


def test_a_connection_that_cannot_fetch_is_found_before_anything_is_sent(tmp_path, session, at_once):
    path = '/dev/shm/%s/%s' % (NAME, spool.PROBE)
    good = Action([step(probed=True)], {path: NAME.encode()})
    session(tmp_path, good).probe()
    assert good._connection.put == ['/dev/shm/%s/%s' % (NAME, spool.INBOX)]
    assert hashlib.sha256(NAME.encode()).hexdigest() in good.commands[-1]

    other = Action([step(probed=True)], {path: b'something else'})
    with pytest.raises(delivery_session.Unfetchable) as raised:
        session(tmp_path, other).probe()
    assert 'what came is not what is there' in str(raised.value) and os.listdir(str(tmp_path)) == []

    refusing = Action([step(probed=True)])

    def refuse(dummy, target):
        raise AnsibleError('no such\nfile')
    refusing._connection.fetch_file = refuse
    with pytest.raises(delivery_session.Unfetchable) as raised:
        session(tmp_path, refusing).probe()
    assert str(raised.value) == 'no such'


@pytest.mark.parametrize('name', ['ssh', 'local', 'ansible.builtin.ssh'])
def test_a_connection_that_sees_every_folder_is_not_probed(tmp_path, session, name):
    action = Action([step()])
    action._connection.transport = name
    session(tmp_path, action).probe()
    assert action.commands == []


def test_stop_is_said_and_a_dead_connection_does_not_matter(tmp_path, session):
    action = Action([step()])
    session(tmp_path, action).stop()
    assert '"stop": true' in action.commands[0] and len(action.commands) == 1

    def dead(dummy):
        raise AnsibleError('dead')
    action._low_level_execute_command = dead
    session(tmp_path, action).stop()


def test_a_connection_without_a_reset_of_its_own_is_closed():
    from ansible.plugins.connection import ConnectionBase

    class Bare(object):
        reset = ConnectionBase.reset
        closed = 0

        def close(self):
            self.closed += 1

    class Broken(Bare):
        def reset(self):
            raise RuntimeError('of the plugin')

    for each in (Bare(), Broken()):
        delivery_session.reset(type('Action', (), {'_connection': each}))
        assert each.closed == 1
