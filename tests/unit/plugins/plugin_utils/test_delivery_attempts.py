"""A rescue on a node is started again where that may help, and not for ever where it does not."""
from __future__ import annotations

import types

import pytest
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError

from ansible_collections.lifeboat.docker.plugins.plugin_utils import (
    delivery_attempts as attempts,
    delivery_door as door,
    restore_door,
)

STARTED = {'delivery': {'place': 0}}
DONE = {'bundles': [], 'changed': False}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(attempts, 'PAUSE', 0)
    monkeypatch.setattr(attempts, 'reset', lambda dummy: None)
    monkeypatch.setattr(attempts.door, 'started', lambda said, places: types.SimpleNamespace(place=places[said['place']]))


class Receiver:
    def __init__(self, dummy, prepare, check):
        self.written, self.bytes = set(), 0

    def result(self, written):
        return dict(DONE, written=sorted(written))


def attempt(monkeypatch, sessions, says, store=None, patience=60.0):
    """An Attempts whose starts end as SESSIONS say (None: well; bytes that came, and an exception), and whose module says SAYS in turn."""
    sessions, says, closed = list(sessions), list(says), []

    class Session:
        def __init__(self, dummy, started, receiver, *rest):
            self.receiver = receiver

        def probe(self):
            pass

        def run(self):
            ended = sessions.pop(0)
            if ended:
                self.receiver.bytes, error = ended
                self.receiver.written.add('bundle-%d' % len(sessions))
                raise error

        def stop(self):
            closed.append('stop')

        def close(self):
            closed.append('close')

    def execute(delivery):
        said = says.pop(0) if len(says) > 1 else says[0]
        if isinstance(said, Exception):
            raise said
        return said
    monkeypatch.setattr(attempts, 'Session', Session)
    monkeypatch.setattr(attempts.ends, 'Receiver', Receiver)
    action = types.SimpleNamespace(_task=types.SimpleNamespace(check_mode=False), _connection=types.SimpleNamespace(transport='ssh'))
    ways = attempts.Ways(store, lambda: None, '/scratch', lambda dummy: None, patience, 1 << 20, execute, lambda: {'changed': True})
    made = attempts.Attempts(action, ways, {'places': ['/dev/shm', '/run']})
    made.closed = closed
    return made


def test_the_first_that_ends_well_is_the_result(monkeypatch):
    made = attempt(monkeypatch, [None], [dict(STARTED, warnings=['w'])])
    assert made.run() == dict(DONE, written=[], warnings=['w']) and made.closed == ['stop', 'close']


def test_a_process_that_ended_is_started_again_and_what_it_wrote_counts(monkeypatch):
    made = attempt(monkeypatch, [(5, attempts.SenderGone('killed')), (7, attempts.SenderGone('killed')), None], [STARTED])
    assert made.run()['written'] == ['bundle-1', 'bundle-2'] and made.closed == ['stop', 'close'] * 3


def test_not_for_ever_where_nothing_new_comes(monkeypatch):
    made = attempt(monkeypatch, [(5, attempts.SenderGone('a'))] + [(0, attempts.SenderGone('out of memory'))] * 9, [STARTED])
    with pytest.raises(AnsibleActionFail, match='ended 4 times without a result: out of memory'):
        made.run()
    assert made.closed == ['stop', 'close'] * 4


def test_a_place_that_the_connection_does_not_see_is_avoided(monkeypatch):
    made = attempt(monkeypatch, [(0, attempts.Unfetchable('no such file')), None], [STARTED, {'delivery': {'place': 1}}])
    assert made.run()['written'] == [] and made._delivery['avoid'] == ['/dev/shm']


def test_where_no_place_is_left_the_connection_is_named(monkeypatch):
    made = attempt(monkeypatch, [(0, attempts.Unfetchable('no such file.'))], [STARTED, {'failed': True, 'msg': 'no place'}])
    with pytest.raises(AnsibleActionFail, match='ssh cannot fetch files from /dev/shm: no such file. Name a folder'):
        made.run()


def test_a_host_that_is_lost_may_come_back(monkeypatch):
    lost = AnsibleConnectionFailure('lost')
    made = attempt(monkeypatch, [(5, attempts.SenderGone('')), None], [STARTED, lost, lost, STARTED])
    assert made.run()['changed'] is False
    assert attempt(monkeypatch, [None], [lost, lost, STARTED]).run()['changed'] is False    # cut off while the module started
    with pytest.raises(AnsibleConnectionFailure):
        attempt(monkeypatch, [None], [lost, STARTED], patience=-1).run()
    with pytest.raises(AnsibleError, match='no such module'):
        attempt(monkeypatch, [None], [AnsibleError('no such module'), STARTED]).run()
    with pytest.raises(AnsibleConnectionFailure):
        attempt(monkeypatch, [(5, attempts.SenderGone('')), None], [STARTED, lost, lost, STARTED], patience=-1).run()


def test_a_node_that_starts_nothing(monkeypatch):
    assert attempt(monkeypatch, [], [{'changed': True}]).run() == {'changed': True}     # only the progress is missing
    with pytest.raises(door.ProtocolError, match='not started'):
        attempt(monkeypatch, [], [{'changed': True}], store=object()).run()
    assert attempt(monkeypatch, [], [{'failed': True, 'msg': 'No\nroot.', 'ansible_facts': {'x': 1}}]).run() == {'failed': True, 'msg': 'No\\nroot.'}


def test_a_session_is_closed_after_an_invalid_message_too(monkeypatch):
    made = attempt(monkeypatch, [(0, door.ProtocolError('odd'))], [STARTED])
    with pytest.raises(door.ProtocolError):
        made.run()
    assert made.closed == ['stop', 'close']


class Event:
    msg = 'Host h is using the discovered Python\x1b[2J interpreter.'


class Summary:
    """As ansible-core 2.19 and newer have a warning, and a deprecation."""
    event, version, date = Event(), '2.23', None


@pytest.mark.parametrize('said', [
    {'warnings': [Summary()], 'deprecations': [Summary()]},
    {'warnings': [Event.msg], 'deprecations': [{'msg': Event.msg, 'version': '2.23', 'collection_name': 'x'}]}])
def test_what_ansible_itself_warns_of_is_no_invalid_message(monkeypatch, said):
    """Such as the Python that it discovered, which it says of every host with default settings."""
    text = 'Host h is using the discovered Python\\x1b[2J interpreter.'
    expected = {'warnings': [text], 'deprecations': [{'msg': text, 'version': '2.23'}]}
    result = attempt(monkeypatch, [None], [dict(STARTED, **said)]).run()
    assert {key: result[key] for key in expected} == expected
    assert attempts.known(dict(said, changed=True)) == dict(expected, changed=True)
    assert restore_door.restored(dict(said, changed=True)) == dict(expected, changed=True)


def test_warnings_of_any_shape(monkeypatch):
    assert attempts.told({'warnings': {'a': 1}, 'deprecations': [None, 3, {'msg': 3}, {}]}) == {}
