"""A host that was taken over answers for the rescue, over genuine ssh and sftp: nothing that it says is done on the controller."""
import hashlib
import json
import os
import shutil
import sys
import time

import hosts
import pytest
from hosts import MIB, options

from ansible_collections.lifeboat.docker.plugins.module_utils.transport import frames

NAME = 'lifeboat-evil0000'
SPOOL = '/dev/shm/' + NAME
ZEROS = '0' * 64

# In place of the host's Python. It knows what the controller asks for, in this version and in the one before.
EVIL = """#!%(python)s
import json, os, sys
with open(%(plan)r) as found:
    plan = json.load(found)
if sys.argv[1:2] and sys.argv[1].endswith('.py'):
    os.makedirs(%(spool)r, exist_ok=True)
    os.chmod(%(spool)r, 0o755)
    for name, (text, size) in plan['files'].items():
        with open(os.path.join(%(spool)r, name), 'wb') as target:
            target.write(bytes.fromhex(text))
            target.truncate(size)
        os.chmod(target.name, 0o666)
    with open(%(spool)r + '/step', 'w') as target:
        target.write('exec %%s -c step\\n' %% sys.argv[0])
    print(json.dumps({'changed': False, 'delivery': plan['started'], 'ansible_facts': {'pwned': True}}))
elif 'step' in sys.argv:
    sys.argv[1:] = []
if not sys.argv[1:2] or not sys.argv[1].endswith('.py'):
    print('LIFEBOAT-STEP ' + plan['step'])
"""


class Node(object):
    """What the taken over host says and has. PWNED: a file that must not appear on the controller."""

    def __init__(self, folder, pwned):
        self.command = '!touch ' + pwned
        self.python = os.path.join(folder, 'python3')
        self.plan = os.path.join(folder, 'plan.json')
        self.started = {'place': 0, 'name': NAME, 'spool': SPOOL, 'python': self.python, 'library': '/x', 'probe': NAME, 'pid': 1}
        self.step = {'gone': False, 'alive': True, 'over': False, 'chunks': [], 'state': None, 'said': ''}
        self.files = {'inbox': [b'', 0], 'probe': [NAME.encode(), len(NAME)]}

    def sends(self, raw, size=None):
        """A chunk as it should be, of SIZE bytes on the disk."""
        digest = hashlib.sha256(raw).hexdigest()
        self.files['00000000-' + digest] = [raw, len(raw) if size is None else size]
        self.step['chunks'] = [[0, len(raw), digest]]

    def write(self):
        step = self.step if isinstance(self.step, str) else json.dumps(self.step)
        with open(self.plan, 'w') as target:
            json.dump({'started': self.started, 'step': step,
                       'files': {name: [raw.hex(), size] for name, (raw, size) in self.files.items()}}, target)
        with open(self.python, 'w') as target:
            target.write(EVIL % {'python': sys.executable, 'plan': self.plan, 'spool': SPOOL})
        os.chmod(self.python, 0o755)


def path_of_a_chunk(node):
    """Quoted by Ansible, its first line is a whole one for sftp, which knows \\' inside of quotes; and that file is there."""
    node.files['a\'"\'b'] = [b'12345', 5]
    node.step['chunks'] = [[0, 5, ZEROS, '%s/a\\\'b"\n%s\n' % (SPOOL, node.command)]]


def digest_of_a_chunk(node):
    node.step['chunks'] = [[0, 5, '%s\n%s\n' % (ZEROS, node.command)]]


def name_of_the_spool(node):
    node.started.update(name='lifeboat-x\n%s\n' % node.command, spool='/dev/shm/x\n%s\n' % node.command)
    node.sends(frames.message({'op': 'ask', 'number': 1, 'names': []}))


def place_of_the_spool(node):
    node.started['place'] = '/dev/shm\n%s\n' % node.command


def words_of_a_shell(node):
    node.started['python'] = node.started['library'] = "'; %s; '" % node.command[1:]
    node.step['chunks'] = [['$(%s)' % node.command[1:], 5, ZEROS]]


def deep_answer(node):
    node.step = '{"gone":false,"chunks":' + '[' * 100000 + ']' * 100000 + '}'


def larger_than_announced(node):
    """Without end, for a disk of today."""
    node.sends(b'x', 1 << 40)


def a_file_elsewhere(node):
    node.sends(frames.message({'op': 'begin', 'bundle': 'x'}) + frames.message(
        {'op': 'open', 'bundle': 'x', 'number': 1, 'file': '../../../pwned', 'mark': None, 'skip': 0}))


@pytest.fixture
def attacked(lab, first, controller, dead, tmp_path):
    pwned = str(tmp_path / 'pwned')
    folder = os.path.join(lab.folder, 'evil')
    os.makedirs(folder)
    node = Node(folder, pwned)

    def play(attack, **more):
        attack(node)
        node.write()
        first.inside('sh', '-c', 'rm -rf /dev/shm/lifeboat-evil*')
        status, out = controller.play(hosts.task(**options(dead, tmp_path, reconnect_timeout=5, **more)), {
            'box': first.variables(ansible_python_interpreter=node.python)})
        assert not os.path.exists(pwned), out
        assert 'Traceback' not in out and 'pwned' not in str([names for top, dummy, names in os.walk(str(tmp_path / 'out'))]), out
        return status, out

    yield play
    shutil.rmtree(folder)
    first.inside('sh', '-c', 'rm -rf /dev/shm/lifeboat-evil*')


@pytest.mark.parametrize('attack', [path_of_a_chunk, digest_of_a_chunk, name_of_the_spool, place_of_the_spool, words_of_a_shell,
                                    deep_answer, a_file_elsewhere])
def test_nothing_is_run_or_written(attack, attacked):
    status, out = attacked(attack)
    assert status == 2 and 'The host sent an invalid message' in out, out


def test_no_more_is_fetched_than_announced(attacked, controller):
    begun = time.monotonic()
    free = os.statvfs(controller.folder)
    status, out = attacked(larger_than_announced)
    assert status == 2 and 'larger than was announced' in out, out
    assert time.monotonic() - begun < 90
    now = os.statvfs(controller.folder)
    assert (free.f_bavail - now.f_bavail) * free.f_frsize < 4096 * MIB


def test_words_are_no_bundles(attacked, tmp_path):
    """A result without a bundle fails the task, and brings neither paths nor facts into the play."""
    def attack(node):
        node.sends(frames.message({'op': 'end', 'result': {
            'bundles': [{'name': 'x', 'status': 'complete', 'changed': True, 'path': '/etc', 'bytes': 1 << 30}],
            'ansible_facts': {'pwned': True}, 'summary': {}, 'problems': []}}))

    status, out = attacked(attack)
    assert status == 2 and 'The one bundle was not rescued' in out and '"/etc"' not in out and 'pwned": true' not in out, out
