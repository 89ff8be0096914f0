"""The state of an attachment: on disk before anything is done, one run at a time, in nobody else's folder."""
import json
import os

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.attach import commands, luks, release, run, session, state
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError


def test_an_action_is_on_disk_before_it_is_done(tmp_path):
    with state.held(str(tmp_path / 'scratch'), 'abc') as mine:
        mine.begin(kind='mount', point='/x\udcff')
        assert state.State(mine.folder).actions == [{'kind': 'mount', 'point': '/x\udcff'}]
        mine.drop(mine.actions[0])
        assert state.State(mine.folder).actions == []


def test_a_second_run_waits_for_the_first(tmp_path):
    with state.held(str(tmp_path / 'scratch'), 'abc'):
        with pytest.raises(LifeboatError) as raised:
            with state.held(str(tmp_path / 'scratch'), 'abc'):
                pass
    assert 'Another run' in str(raised.value)


@pytest.mark.parametrize('make', [lambda path: os.symlink('/tmp', path), lambda path: (os.mkdir(path), os.chmod(path, 0o777))])
def test_a_folder_of_others_is_refused(tmp_path, make):
    make(str(tmp_path / 'scratch'))
    with pytest.raises(LifeboatError):
        with state.held(str(tmp_path / 'scratch'), 'abc'):
            pass


def test_a_damaged_state_is_said(tmp_path):
    with state.held(str(tmp_path / 'scratch'), 'abc') as mine:
        mine.save()
    for raw in ('', '[]', '{"actions": 3}', '\xff'):
        (tmp_path / 'scratch' / 'abc' / 'state.json').write_bytes(raw.encode('latin-1'))
        with pytest.raises(LifeboatError):
            state.State(str(tmp_path / 'scratch' / 'abc'))


def test_what_a_later_version_did_is_not_thrown_away(tmp_path):
    with state.held(str(tmp_path / 'scratch'), 'abc') as mine:
        mine.begin(kind='new thing')
        with pytest.raises(LifeboatError) as raised:
            release.release(mine, commands.Commands())
        assert 'new thing' in str(raised.value) and mine.actions


def test_a_state_that_names_things_of_others_does_not_reach_them(tmp_path):
    """Points outside the folder, names without our prefix: nothing is run for them."""
    with state.held(str(tmp_path / 'scratch'), 'abc') as mine:
        mine.begin(kind='mount', point='/')
        mine.begin(kind='luks', name='control')
        mine.begin(kind='md', node='/dev/md0')
        mine.begin(kind='loop', file='/nowhere', offset=0)
        done = commands.Commands()
        assert release.release(mine, done) is True
    assert done.steps == [] and luks.undo and os.listdir(str(tmp_path / 'scratch')) == []


def test_one_disk_has_one_name_in_whatever_order(tmp_path):
    one, two = str(tmp_path / 'one'), str(tmp_path / 'two')
    assert state.identifier([one, two]) == state.identifier([two, one]) != state.identifier([one])


def test_nothing_to_release_is_no_change(tmp_path):
    result = run.release(session.Request(('/nowhere/disk.img',), scratch_dir=str(tmp_path / 'scratch')))
    assert result['changed'] is False and json.dumps(result)


@pytest.mark.parametrize('first, then, again', [
    ({}, {}, False), ({}, {'nested': True}, True), ({'nested': True}, {'nested': True}, False), ({'nested': True}, {}, False),
    ({}, {'attach_layers': True}, True), ({'attach_layers': True}, {'attach_layers': True}, False), ({'nested': True}, {'attach_layers': True}, True),
    ({'journal': 'ignore'}, {}, True), ({'journal': 'ignore'}, {'journal': 'ignore'}, False), ({}, {'passphrase': 'x'}, False),
    ({'locked': True}, {'passphrase': 'x'}, True), ({'locked': True}, {'key_file': '/k'}, True), ({'locked': True}, {}, False)])
def test_what_is_attached_is_attached_again_if_more_is_asked_for(tmp_path, monkeypatch, first, then, again):
    """Never the old result, in which what is asked for now is missing."""
    disk = tmp_path / 'disk.img'
    disk.write_bytes(bytes(4096))
    problems = [{'code': 'VOLUME_LOCKED', 'object': 'x'}] if 'locked' in first else []
    first = {key: value for key, value in first.items() if key != 'locked'}
    asked = []

    def attach(work, dummy):
        asked.append(work.request)
        return {'hosts': [{'host_root': '/'}], 'steps': [], 'problems': problems}
    monkeypatch.setattr(run.os, 'geteuid', lambda: 0)
    monkeypatch.setattr(run, '_attach', attach)
    monkeypatch.setattr(run.states, 'own_folder', lambda path: os.makedirs(path, exist_ok=True) or path)
    requests = [session.Request((str(disk),), scratch_dir=str(tmp_path / 'scratch'), **options) for options in (first, then)]
    assert run.attach(requests[0])['changed'] is True
    assert run.attach(requests[1])['changed'] is again and asked == (requests if again else requests[:1])


def test_a_missing_tool_names_its_package():
    with pytest.raises(commands.ToolMissing) as raised:
        commands.find('lifeboat-no-such-tool')
    assert 'install the package' in str(raised.value)


def test_a_step_can_be_typed_and_does_nothing_to_a_terminal():
    assert commands.line_of(['mount', '/a b', "it's", '\x1b[31m']) == "mount '/a b' 'it'\"'\"'s' '\\x1b[31m'"
