"""Snapshots that hold a data root are named, with what reads them."""
import os
import shutil
import subprocess

import deadroot
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.cli import words
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.facts import gather

LVM = 'vg {\n logical_volumes {\n snapshot0 {\n segment1 {\n type = "snapshot"\n origin = "root"\n cow_store = "before"\n}\n}\n}\n}\n'


@pytest.fixture
def host(tmp_path):
    deadroot.build(str(tmp_path / 'var' / 'lib' / 'docker'), containers=1, host_root=str(tmp_path), rich=False, layers=1, files=1, log_lines=1)
    return tmp_path


def facts(top):
    with registry.open_host(os.fsencode(str(top))) as opened:
        return gather.gather(opened, gather.Options((), ['containers']))


def kept(host, *path):
    """A copy of the data root in a snapshot."""
    target = host.joinpath(*path)
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(['cp', '-a', str(host / 'var' / 'lib' / 'docker'), str(target)], check=True)     # layers have devices


def told(found):
    return [(item['kind'], item['path'], item['data_root'], item['created'], item['checked']) for item in found['snapshots']]


def test_without_snapshots_there_are_none(host):
    (host / '.snapshots' / '1' / 'snapshot').mkdir(parents=True)        # of something else
    found = facts(host)
    assert found['snapshots'] == [] and 'SNAPSHOT_FOUND' not in {item['code'] for item in found['problems']}


def test_snapper_of_the_root_the_newest_first(host):
    for number in ('2', '10'):
        kept(host, '.snapshots', number, 'snapshot', 'var', 'lib', 'docker')
    (host / '.snapshots' / '10' / 'info.xml').write_text('<?xml version="1.0"?>\n<snapshot><date>2026-11-20 10:00:01</date></snapshot>\n')
    found = facts(host)
    assert told(found) == [('snapper', '/.snapshots/10/snapshot', '/var/lib/docker', '2026-11-20 10:00:01', True),
                           ('snapper', '/.snapshots/2/snapshot', '/var/lib/docker', None, True)]
    note = next(item for item in found['problems'] if item['code'] == 'SNAPSHOT_FOUND')
    place = '%s/.snapshots/10/snapshot' % host
    assert note['next_step'] == 'Read it with host_root %s.' % place and note['severity'] == 'info'
    assert words.tool(note['next_step']) == 'Read it with --host-root %s.' % place
    assert facts(place)['containers']   # the command does go on


def test_a_subvolume_of_its_own(host):
    kept(host, 'var', 'lib', '.snapshots', 'yesterday', 'docker')
    found = facts(host)
    assert told(found) == [('folder', '/var/lib/.snapshots/yesterday', '/var/lib/docker', None, True)]
    assert found['snapshots'][0]['next_step'] == 'Read it with host_root %s and data_roots /var/lib/.snapshots/yesterday/docker.' % host


@pytest.mark.parametrize('path', ['timeshift-btrfs/snapshots/2026-11-20_10-00-01/@', 'timeshift/snapshots/2026-11-20_10-00-01/localhost',
                                  'run/timeshift/1234/backup/timeshift-btrfs/snapshots/2026-11-20_10-00-01/@'])
def test_timeshift(host, path):
    kept(host, path, 'var', 'lib', 'docker')
    assert told(facts(host)) == [('timeshift', '/' + path, '/var/lib/docker', '2026-11-20_10-00-01', True)]


def test_the_data_root_itself_was_deleted(host):
    kept(host, '.snapshots', '1', 'snapshot', 'var', 'lib', 'docker')
    shutil.rmtree(str(host / 'var' / 'lib' / 'docker'))
    found = facts(host)
    assert [item['path'] for item in found['snapshots']] == ['/.snapshots/1/snapshot'] and found['containers'] == []


def test_zfs_and_lvm_are_named_and_not_looked_into(host):
    (host / 'var' / 'lib' / 'docker' / '.zfs' / 'snapshot' / 'daily-1').mkdir(parents=True)
    (host / '.zfs' / 'snapshot' / 'other').mkdir(parents=True)
    (host / 'etc' / 'lvm' / 'backup').mkdir(parents=True)
    (host / 'etc' / 'lvm' / 'backup' / 'vg').write_text(LVM)
    found = facts(host)
    assert told(found) == [('zfs', '/var/lib/docker/.zfs/snapshot/daily-1', '/var/lib/docker', None, False),
                           ('lvm', '/dev/vg/before', '/var/lib/docker', None, False)]
    assert [item['next_step'].split(' with ')[1] for item in found['snapshots']] == [
        'host_root %s and data_roots /var/lib/docker/.zfs/snapshot/daily-1.' % host, 'lifeboat --disk /dev/vg/before look.']


def test_hostile_names_and_links(host):
    kept(host, '.snapshots', '1\n\x1b[31m', 'var', 'lib', 'docker')
    (host / '.snapshots' / '2').symlink_to('/etc')
    (host / '.snapshots' / '3').mkdir()
    (host / '.snapshots' / '3' / 'snapshot').symlink_to('/')            # within the host root: the host itself
    found = facts(host)
    texts = [item['next_step'] for item in found['snapshots']] + [item['message'] for item in found['problems']]
    assert len(found['snapshots']) == 2 and not [text for text in texts if '\n' in text or '\x1b' in text]
