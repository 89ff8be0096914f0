"""What udev of this machine activates on our loop devices is stopped from the top down; what is ours, or lies on others too, stays."""
import os

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.attach import commands, loops, state


class Machine(object):
    """A made-up /sys/block, and the commands that stop what is in it: they fail while something lies on a device."""

    def __init__(self, top):
        self.top, self.stopped, self.steps = str(top), [], []

    def device(self, name, slaves=(), mapped=''):
        for folder in ('holders', 'slaves', 'dm') if mapped else ('holders', 'slaves'):
            os.makedirs(os.path.join(self.top, name, folder))
        if mapped:
            with open(os.path.join(self.top, name, 'dm', 'name'), 'w', encoding='utf-8') as out:
                out.write(mapped + '\n')
        for each in slaves:
            os.mkdir(os.path.join(self.top, each, 'holders', name))
            os.mkdir(os.path.join(self.top, name, 'slaves', each))

    def run(self, words, **dummy):
        if words[0] == 'udevadm':
            return ''
        name = os.path.basename(words[-1])
        for each in os.listdir(self.top):
            if each == name or loops._attribute(os.path.join(self.top, each, 'dm'), 'name') == name:
                name = each
        if os.listdir(os.path.join(self.top, name, 'holders')):
            raise commands.Failed(words, 5, 'busy')
        for each in os.listdir(os.path.join(self.top, name, 'slaves')):
            os.rmdir(os.path.join(self.top, each, 'holders', name))
        os.rename(os.path.join(self.top, name), os.path.join(self.top, '..', 'gone-' + name))
        self.stopped.append(name)
        return ''


@pytest.fixture(name='machine')
def machine_without_devices(tmp_path, monkeypatch):
    (tmp_path / 'sys').mkdir()
    monkeypatch.setattr(loops, 'SYS', str(tmp_path / 'sys'))
    return Machine(tmp_path / 'sys')


def held(tmp_path):
    return state.held(str(tmp_path / 'scratch'), 'abc')


def test_a_thin_pool_and_its_volumes_are_stopped_from_the_top(machine, tmp_path):
    machine.device('loop0')
    machine.device('dm-0', ['loop0'], 'vg-pool_tmeta')
    machine.device('dm-1', ['loop0'], 'vg-pool_tdata')
    machine.device('dm-2', ['dm-0', 'dm-1'], 'vg-pool-tpool')
    machine.device('dm-3', ['dm-2'], 'vg-pool')
    machine.device('dm-4', ['dm-2'], 'vg-root')
    machine.device('dm-5', ['dm-4'], 'crypt-on-root')
    with held(tmp_path) as mine:
        loops.take_back(mine, machine, ['/dev/loop0'])
    assert sorted(machine.stopped) == ['dm-%d' % number for number in range(6)]


def test_what_this_attachment_made_stays(machine, tmp_path):
    """LUKS on a loop device of ours, a group under a name of ours on that, an array on another."""
    for name in ('loop0', 'loop1'):
        machine.device(name)
    with held(tmp_path) as mine:
        machine.device('dm-0', ['loop0'], mine.name + '-luks0')
        machine.device('dm-1', ['dm-0'], mine.name.replace('-', '--') + '--vg0-root')
        machine.device('dm-2', ['loop1'], 'dead--vg-root')
        machine.device('md511', ['loop1'])
        mine.begin(kind='luks', name=mine.name + '-luks0')
        mine.begin(kind='vg', name=mine.name + '-vg0')
        mine.begin(kind='vg', name='dead-vg')
        mine.begin(kind='md', node='/dev/md511')
        loops.take_back(mine, machine, ['/dev/loop0', '/dev/loop1'])
    assert machine.stopped == []


def test_what_lies_on_devices_of_others_too_stays(machine, tmp_path):
    machine.device('loop0')
    machine.device('sda')
    machine.device('md0', ['loop0', 'sda'])
    machine.device('dm-0', ['md0'], 'theirs')
    with held(tmp_path) as mine:
        loops.take_back(mine, machine, ['/dev/loop0'])
    assert machine.stopped == []
