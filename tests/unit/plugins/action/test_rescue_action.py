"""What the action plugin of docker_data_rescue makes of a host's answers, and what it prints at the end."""
import os
import types

import pytest
from ansible.errors import AnsibleActionFail

from ansible_collections.lifeboat.docker.plugins.action import docker_data_rescue as action
from ansible_collections.lifeboat.docker.plugins.module_utils.disk import fsinfo
from ansible_collections.lifeboat.docker.plugins.plugin_utils import (
    delivery_attempts as attempts,
    delivery_options as options,
)

LOTS = 5000000


def said(home=LOTS, tmp=LOTS, memory=LOTS, inodes=LOTS, head='1000\n'):
    """What the host prints; KiB free in each place, None where it is left out as it may not be written."""
    text = head
    for folder, device, free in (('/root', '/dev/vda1', home), ('/tmp', '/dev/mapper/a-very-long-name', tmp), ('/dev/shm', 'tmpfs', memory)):
        if free is not None:
            text += 'room %s\n%s  20511312 %d %d  71%% %s\n' % (folder, device, 20511312 - free, free, folder)
            text += '%s  1310720 %d %d  18%% %s\n' % (device, 1310720 - inodes, inodes, folder)
    return text


@pytest.mark.parametrize('answer, tight', [
    (said(), False),
    (said(home=0), True),
    (said(tmp=0), True),
    (said(home=-3), True),                              # more than all: what root alone may use is used too
    (said(home=8 * 1024 - 1), True),
    (said(home=8 * 1024), False),
    (said(home=0, memory=0), False),                    # nowhere to go
    (said(home=0, memory=None), False),
    (said(home=None), False),                           # a home that may not be written is not asked
    (said(home=None, tmp=0), True),
    (said(inodes=3, memory=LOTS), False),               # no inodes, and none in memory either
    ('1000\nroom /root\n/dev/vda1  20511312 511312 20000000  3% /\n/dev/vda1  1310720 1310717 3  100% /\n'
     'room /dev/shm\ntmpfs  65536 0 65536  0% /dev/shm\ntmpfs  1000 1 999  1% /dev/shm\n', True),       # inodes alone
    ('1000\nroom /root\nbtrfs  20511312 511312 20000000  3% /\nbtrfs  0 0 0  - /\n'
     'room /dev/shm\ntmpfs  65536 0 65536  0% /dev/shm\ntmpfs  1000 1 999  1% /dev/shm\n', False),      # inodes are not counted
    ('1000\n', False),
    ('', False),
    ('1000\nroom /root\ndf: /root: Input/output error\nroom /tmp\n', False),
    ('room service is closed\n' + said(home=0), True),
])
def test_a_tight_host(answer, tight):
    assert options.is_tight(answer) is tight


BUNDLES = [{'name': 'web-364a60f0b04f', 'status': 'complete', 'bytes': 209 << 20, 'changed': True, 'image': 'shop/web:1.4',
            'components': [{'kind': 'writable'}, {'kind': 'volume'}, {'kind': 'volume'}]},
           {'name': 'db-33242df9d338', 'status': 'lost', 'bytes': 0, 'changed': True},
           {'name': 'job-322b87b12e61', 'status': 'complete', 'bytes': 2632, 'changed': False}]
PROBLEMS = [{'severity': 'info', 'code': 'SOCKET_SKIPPED', 'message': 'One socket left out.', 'next_step': ''},
            {'severity': 'critical', 'code': 'WRITABLE_LAYER_LOST', 'next_step': 'Look for its folder in a copy of the disk that was made before.',
             'message': 'The folder of the writable layer of db does not exist.'}]
RESULT = {'bundles': BUNDLES, 'problems': PROBLEMS, 'summary': {'bundles': 3, 'written': 2, 'bytes': (209 << 20) + 2632, 'problems': 2}}


def test_the_table():
    assert action._table('dead1', RESULT).split('\n') == [
        '[dead1] STATUS    BUNDLE            IMAGE         VOLUMES       SIZE',
        '[dead1] lost      db-33242df9d338   -                   0    0 bytes',
        '[dead1] complete  web-364a60f0b04f  shop/web:1.4        2  209.0 MiB',
        '[dead1] complete  job-322b87b12e61  -                   0    2.6 KiB  unchanged',
        '[dead1] CRITICAL WRITABLE_LAYER_LOST: The folder of the writable layer of db does not exist. Look for its folder in a copy of '
        'the disk that was made before.',
        '[dead1] INFO SOCKET_SKIPPED: One socket left out.',
        '[dead1] 3 bundles, 2 written, 209.0 MiB, 2 problems']


def test_the_table_says_what_stays_behind():
    left = {'binds': 1, 'volumes': 2, 'layers': 0, 'images': 0, 'names': ['web: /srv at /srv']}
    assert action._table('dead1', dict(RESULT, summary=dict(RESULT['summary'], left_behind=left))).rpartition('\n')[2] == (
        '[dead1] not in the bundles and only on the host: 1 bind mount, 2 volumes')
    note = {'severity': 'info', 'code': 'NOT_INCLUDED', 'object': 'web', 'message': 'The data of 1 mount of web are not in its bundle.', 'next_step': ''}
    assert action._table('dead1', dict(RESULT, problems=[note])).rpartition('\n')[2] == (
        '[dead1] not in the bundles and only on the host: data of mounts of 1 container')


def test_the_table_on_a_terminal():
    lines = action._table('dead1', RESULT, 79).split('\n')
    assert all(len(line) <= 79 and line.startswith('[dead1] ') for line in lines)
    assert lines[4:7] == ['[dead1] CRITICAL WRITABLE_LAYER_LOST: The folder of the writable layer of db',
                          '[dead1]     does not exist. Look for its folder in a copy of the disk that was',
                          '[dead1]     made before.']


def test_a_narrow_terminal_shows_no_images():
    assert action._table('dead1', RESULT, 70).split('\n')[:3] == [
        '[dead1] STATUS    BUNDLE            VOLUMES       SIZE',
        '[dead1] lost      db-33242df9d338         0    0 bytes',
        '[dead1] complete  web-364a60f0b04f        2  209.0 MiB']


def test_the_table_of_very_much():
    many = {'bundles': BUNDLES * 20, 'problems': PROBLEMS * 20, 'summary': {'bundles': 60, 'written': 40}}
    lines = action._table('dead1', many, None, True).split('\n')
    assert lines[41] == '[dead1] ... and 20 more' and lines[62] == '[dead1] ... and 20 more problems'
    assert lines[63] == '[dead1] 60 bundles, 40 to write, 0 bytes, 0 problems' and len(lines) == 64


def test_facts_of_a_host_do_not_come_through():
    said = dict(RESULT, ansible_facts={'x': 1}, add_host={'host_name': 'x'}, changed=True, warnings=['w'], failed=False)
    found = attempts.known(said)
    assert set(found) == {'bundles', 'problems', 'summary', 'changed', 'warnings', 'failed'}
    assert attempts.known({'ansible_job_id': '1.2', 'started': 1, 'changed': True, 'ansible_facts': {}}) == {
        'ansible_job_id': '1.2', 'started': 1, 'changed': True}


@pytest.mark.parametrize('wanted', ['x', '~/x', '$HOME/x', '/a\n!id', '/a/../b', 5])
def test_folders_for_the_spool_that_are_refused(wanted):
    with pytest.raises(AnsibleActionFail):
        options.places({'spool_dir': wanted})


def test_folders_for_the_spool():
    assert options.places({})[:2] == ['/dev/shm', '/run'] and options.places({'spool_dir': '/mnt//my disk/'}) == ['/mnt/my disk']


def test_no_text_of_a_host_moves_the_terminal():
    hostile = 'a\x1b]52;c;x\x07\x9b2J\nb\u202e'
    many = {'bundles': [dict(BUNDLES[0], name=hostile, image=hostile)], 'summary': {},
            'problems': [dict(PROBLEMS[0], message=hostile, next_step=hostile)]}
    for width in (None, 79):
        assert all(line.isprintable() for line in action._table('dead1', many, width).split('\n'))


# -- dest on the controller ----------------------------------------------------------------------------------------------------


def test_dest_on_the_controller_is_refused_below_dev(tmp_path):
    (tmp_path / 'usb').symlink_to('/dev/shm')
    for dest in (b'/dev/usb1', b'/dev/shm/out', os.fsencode(str(tmp_path / 'usb' / 'out'))):
        with pytest.raises(AnsibleActionFail) as caught:
            options.doubts(dest)
        assert 'lies in /dev' in str(caught.value)


def test_doubts_about_dest_on_the_controller_reach_the_result(monkeypatch):
    monkeypatch.setattr(fsinfo, 'mount_of', lambda *dummy: types.SimpleNamespace(fstype='tmpfs', point=b'/memory', device=b'', root=b'/'))
    doubts = options.doubts(b'/memory/out')
    assert [item.code for item in doubts] == ['DEST_IN_MEMORY']
    found = options.with_problems({'bundles': [], 'problems': PROBLEMS[:1], 'summary': {'bundles': 0, 'problems': 1}}, doubts)
    assert [item['code'] for item in found['problems']] == ['DEST_IN_MEMORY', 'SOCKET_SKIPPED'] and found['summary']['problems'] == 2
    assert options.with_problems({'failed': True, 'msg': 'x'}, doubts) == {'failed': True, 'msg': 'x'}


def test_a_run_with_dest_below_dev_ends_before_anything_is_asked_of_the_host(monkeypatch):
    """In check mode too."""
    asked = []
    plugin = object.__new__(action.ActionModule)
    monkeypatch.setattr(plugin, '_login_uid', lambda: asked.append(1) or 1000, raising=False)
    monkeypatch.setattr(plugin, '_uncompressed', lambda: None, raising=False)
    with pytest.raises(AnsibleActionFail) as caught:
        plugin._deliver({'dest': '/dev/usb1', 'host_name': 'dead1'}, {}, True, False)
    assert 'lies in /dev' in str(caught.value) and asked == []
