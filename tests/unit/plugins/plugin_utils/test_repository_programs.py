"""The real restic and borg: there and back, and what goes wrong at night. Most of it takes minutes and runs with LIFEBOAT_SOAK."""
import contextlib
import io
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import programs
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.archive import trees, write
from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import reading
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.plugin_utils.repositories import base, fetching, sending, tags
from ansible_collections.lifeboat.docker.tests.unit.restore.bundles import ROOT, make_bundle, member, tar_bytes

SOAK = bool(os.environ.get('LIFEBOAT_SOAK'))
long = pytest.mark.soak              # takes minutes: LIFEBOAT_SOAK=1
MB = 1 << 20
PASSWORD = 'correct horse battery'


@pytest.fixture(params=['restic', 'borg'])
def kind(request, tmp_path, monkeypatch):
    programs.need(request.param)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.setenv('BORG_BASE_DIR', str(tmp_path / 'borg'))
    for name in ('RESTIC_PASSWORD', 'RESTIC_REPOSITORY', 'BORG_PASSPHRASE', 'BORG_REPO'):
        monkeypatch.delenv(name, raising=False)
    return request.param


def opened(kind, where, password=PASSWORD, patience=20, cuts=None, **environment):
    return base.open_repository(kind, base.Settings(str(where), None, password, None, environment, patience, cuts))


def bundle(folder, seed=0, size=MB, name='web', created='2026-01-02T03:04:05Z'):
    data = random.Random(seed).randbytes(size)
    return make_bundle(folder, {'volumes/data.tar': tar_bytes([ROOT, member('./a', data)]), 'config/--we ird %s,{a}': b'x', 'README.txt': b'r'},
                       {'kind': 'container', 'container': {'name': name, 'id': 'ab' * 32}, 'engine': 'docker', 'created': created})


def send(repository, *paths):
    sender = sending.Sender(repository, None, False, lambda line: None)
    why = sender.send(paths)
    return why, [item['state'] if item['state'] != 'refused' else item['reason'] for item in sender.bundles]


def size_of(path):
    return sum(os.lstat(os.path.join(folder, name)).st_size for folder, dummy, names in os.walk(str(path)) for name in names)


def test_there_and_back(kind, tmp_path):
    """With the name that a hostile host gives it; a second time nothing is sent; the policy removes one; who has no password gets nothing."""
    name = '--repo=/x,host=other {hostname}\n\x1b[31m'
    path = bundle(tmp_path / 'dead1' / 'web', name=name)
    repository = opened(kind, tmp_path / 'repository')
    with pytest.raises(base.RepositoryError) as raised:
        repository.stored()
    assert 'init: true' in str(raised.value)
    assert repository.exists() is False
    repository.create()
    assert repository.exists() is True
    assert send(repository, path) == (None, ['sent'])
    bundle(tmp_path / 'dead1' / 'web', name=name, created='2026-01-03T03:04:05Z')
    time.sleep(1)                       # times of archives are in seconds
    assert send(repository, path, path) == (None, ['sent', 'present'])
    assert repository.prune({'last': 1}, True) == 1 and repository.prune({'last': 1}, False) == 1
    found = fetching.choose(repository.stored(), tags.wanted({'host': 'dead1', 'container': name}))
    assert [(item.tags.name, item.tags.time, item.tags.status) for item in found] == [(name, '2026-01-03T03:04:05Z', 'complete')]
    result = fetching.fetch(repository, found[0], os.fsencode(str(tmp_path / 'back')), False)
    assert subprocess.run(['diff', '-r', os.fsdecode(path), result['path']], check=False).returncode == 0
    with pytest.raises(base.RepositoryError) as raised:
        opened(kind, tmp_path / 'repository', 'wrong word').stored()
    with pytest.raises(base.RepositoryError):
        opened(kind, tmp_path / 'repository', 'wrong word').exists()
    assert 'wrong word' not in str(raised.value) and ('wrong password' in str(raised.value) or 'is incorrect' in str(raised.value))


@long
def test_what_is_not_ours_is_left_alone(kind, tmp_path):
    repository = opened(kind, tmp_path / 'repository')
    repository.create()
    (tmp_path / 'mine').write_text('x')
    for name in ('lifeboat-of-mine', 'other'):
        repository.run(['backup', '--tag=' + name, 'mine'] if kind == 'restic' else ['create', '::' + name, 'mine'], folder=os.fsencode(str(tmp_path)))
    for second in range(3):
        send(repository, bundle(tmp_path / 'dead1' / 'web', created='2026-01-02T03:04:0%dZ' % second))
        time.sleep(1)
    assert repository.prune({'last': 1}, False) == 2 and len(repository.stored()) == 1
    out = repository.run(['snapshots', '--json'] if kind == 'restic' else ['list', '--json', '::'])
    assert len(json.loads(out)['archives'] if kind == 'borg' else json.loads(out)) == 3


@long
def test_a_hostile_name_does_not_push_others_out(kind, tmp_path):
    """A container that is called like the group, the host or the pattern of another one."""
    repository = opened(kind, tmp_path / 'repository')
    repository.create()
    good = bundle(tmp_path / 'dead1' / 'web', 1)
    group = sending.check(good, {}).tags.group
    assert send(repository, good) == (None, ['sent'])
    for number, name in enumerate(['lifeboat-%s-x' % group, 'web#%s' % group, '%s' % group, '*', 'web,group=%s' % group]):
        path = bundle(tmp_path / 'dead1' / ('x%d' % number), 2 + number, name=name)
        assert send(repository, path) == (None, ['sent'])
    time.sleep(1)
    assert repository.prune({'last': 1}, False) == 0 and len(repository.stored()) == 6


@long
@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGKILL])
def test_killed_in_the_middle(kind, number, tmp_path):
    """Nothing half is there, the next run sends it, and the program finds its repository sound."""
    repository = opened(kind, tmp_path / 'repository', patience=60)
    repository.create()
    path = bundle(tmp_path / 'dead1' / 'web', size=250 * MB)
    empty = size_of(tmp_path / 'repository')
    script = ('import sys; from %s import base, sending; from %s import interrupts\nwith interrupts.signals():\n'
              ' sys.exit(sending.Sender(base.open_repository(%r, base.Settings(%r, None, %r, None, {}, 9)), None, False, print).send([%r]))'
              % (base.__package__, base.__package__.rpartition('.')[0], kind, str(tmp_path / 'repository'), PASSWORD, path))
    process = subprocess.Popen([sys.executable, '-c', script], env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)), start_new_session=True)
    until = time.monotonic() + 60
    while size_of(tmp_path / 'repository') < empty + MB and time.monotonic() < until:
        time.sleep(0.005)
    assert process.poll() is None
    if number == signal.SIGKILL:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    process.wait()
    assert process.returncode != 0 and repository.stored() == []
    assert send(repository, path) == (None, ['sent'])
    assert repository.prune({'last': 1}, False) == 0    # takes the lock for itself alone
    repository.run(['check', '--read-data'] if kind == 'restic' else ['check', '--verify-data', '::'])
    assert len(repository.stored()) == 1


@long
def test_a_full_disk(kind, tmp_path):
    """One sentence; what was there stays readable; with room the next run sends it."""
    where = tmp_path / 'small'
    where.mkdir()
    if os.geteuid() or subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=40m', 'small', str(where)], check=False).returncode:
        pytest.skip('needs root and mount')
    try:
        repository = opened(kind, where / 'repository')
        repository.create()
        first, large = bundle(tmp_path / 'dead1' / 'web', 1, 5 * MB), bundle(tmp_path / 'dead1' / 'db', 2, 60 * MB, 'db')
        assert send(repository, first) == (None, ['sent'])
        why, states = send(repository, large, first)
        assert states == ['failed'] and 'no space left' in why.lower(), why
        subprocess.run(['mount', '-o', 'remount,size=200m', str(where)], check=True)
        assert send(repository, large, first) == (None, ['sent', 'present'])
        for item in repository.stored():
            assert fetching.fetch(repository, item, os.fsencode(str(tmp_path / 'back')), False)['changed']
    finally:
        subprocess.run(['umount', '-l', str(where)], check=True)


@long
def test_locked_by_somebody_else(kind, tmp_path):
    """He is waited for; if he does not end, one sentence says what to do."""
    repository = opened(kind, tmp_path / 'repository', patience=0)
    repository.create()
    path = bundle(tmp_path / 'dead1' / 'web')
    send(repository, path)
    if kind == 'borg':
        other = subprocess.Popen([repository.program.path, 'with-lock', '::', 'sleep', '6'], env=repository.program.environment)
        while not (tmp_path / 'repository' / 'lock.exclusive').exists() and other.poll() is None:
            time.sleep(0.02)
    else:
        large = bundle(tmp_path / 'dead1' / 'db', 2, 200 * MB, 'db')
        other = threading.Thread(target=send, args=(opened(kind, tmp_path / 'repository'), large))
        before = size_of(tmp_path / 'repository')
        other.start()
        while size_of(tmp_path / 'repository' / 'data') < before + 2 * MB and other.is_alive():
            time.sleep(0.005)
    with pytest.raises(base.RepositoryError) as raised:
        repository.prune({'last': 1}, False) if kind == 'restic' else repository.stored()
    assert 'is locked' in str(raised.value) and 'Waited for 0 seconds' in str(raised.value)
    patient = opened(kind, tmp_path / 'repository', patience=120)
    assert patient.prune({'last': 1}, False) == 0
    other.wait() if kind == 'borg' else other.join()
    assert len(patient.stored()) == (1 if kind == 'borg' else 2)


@long
def test_a_changed_database_adds_what_changed(kind, tmp_path):
    """200 MB of which 2 MB changed, in two places (of 1 GB: in ten): below 5 % and what changed. Each place costs a piece at either end."""
    data = bytearray(random.Random(1).randbytes(200 * MB))
    repository = opened(kind, tmp_path / 'repository')
    repository.create()
    grown = []
    for turn in range(2):
        path = make_bundle(tmp_path / 'dead1' / 'pg', {'volumes/pg.tar': tar_bytes([ROOT, member('./base', bytes(data))])},
                           {'created': '2026-01-0%dT00:00:00Z' % (turn + 1)})
        before = size_of(tmp_path / 'repository')
        assert send(repository, path) == (None, ['sent'])
        grown.append((size_of(tmp_path / 'repository') - before) / MB)
        for place in range(2):
            at = (30 + 105 * place) * MB
            data[at:at + MB] = random.Random(turn * 100 + place).randbytes(MB)
    print('%s: the first %.1f MB, the second %.1f MB' % (kind, grown[0], grown[1]))
    assert grown[1] < 0.05 * 200 + 2


@pytest.mark.parametrize('kind', ['borg'], indirect=True)
def test_pages_that_change_all_over_a_database_cost_themselves(kind, tmp_path):
    """With pieces of the size of its pages, in archives as a rescue writes them, and with a file that grew and a new one before the table."""
    data, source = bytearray(random.Random(1).randbytes(16 * MB)), tmp_path / 'source'
    source.mkdir()
    grown = []
    repository = opened(kind, tmp_path / 'repository', cuts='fixed,8192')
    repository.create()
    for turn in range(2):
        (source / 'a').write_bytes(b'x' * (700 * (turn + 1)))
        (source / ('b%d' % turn)).write_bytes(b'y')
        (source / 'table').write_bytes(data)
        out = io.BytesIO()
        with trees.FolderTree(os.fsencode(str(source))).opened() as (root, entries):
            write.write_tar(entries, out, root_entry=root)
        path = make_bundle(tmp_path / 'dead1' / 'pg', {'volumes/pg.tar': out.getvalue()}, {'created': '2026-01-0%dT00:00:00Z' % (turn + 1)})
        before = size_of(tmp_path / 'repository')
        assert send(repository, path) == (None, ['sent'])
        grown.append(size_of(tmp_path / 'repository') - before)
        for page in range(0, 2048, 16):         # every 16th
            data[page * 8192:page * 8192 + 100] = random.Random(page).randbytes(100)
    assert grown[0] > 16 * MB and grown[1] < 128 * 8192 + 0.05 * 16 * MB, grown
    back = fetching.fetch(repository, repository.stored()[-1], os.fsencode(str(tmp_path / 'back')), False)
    assert subprocess.run(['diff', '-r', os.fsdecode(path), back['path']], check=False).returncode == 0


def free_port():
    with socket.socket() as here:
        here.bind(('127.0.0.1', 0))
        return here.getsockname()[1]


@contextlib.contextmanager
def serving(command, port):
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 30
        while time.monotonic() < until and process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(('127.0.0.1', port), 1):
                break
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait()


@long
def test_over_rest_with_a_password_in_the_address(tmp_path, monkeypatch):
    if not shutil.which('restic') or not shutil.which('rclone'):
        pytest.skip('needs restic and rclone')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    port = free_port()
    path = bundle(tmp_path / 'dead1' / 'web', size=20 * MB)
    with serving(['rclone', 'serve', 'restic', '--addr', '127.0.0.1:%d' % port, '--user', 'me', '--pass', 'sesame99', str(tmp_path / 'served')], port):
        repository = opened('restic', 'rest:http://me:sesame99@127.0.0.1:%d/r/' % port)
        repository.create()
        assert send(repository, path) == (None, ['sent'])
        assert fetching.fetch(repository, repository.stored()[0], os.fsencode(str(tmp_path / 'back')), False)['changed']
        with pytest.raises(base.RepositoryError) as raised:
            opened('restic', 'rest:http://me:sesame98@127.0.0.1:%d/r/' % port).stored()
        assert 'sesame98' not in str(raised.value)
    with pytest.raises(base.RepositoryError):
        repository.stored()                             # nobody is there


@long
def test_over_s3(tmp_path, monkeypatch):
    """`pip install 'moto[server]'`: a server of S3 for tests. The key is in the environment of restic only."""
    server = shutil.which('moto_server')
    if not shutil.which('restic') or not server:
        pytest.skip('needs restic and moto_server')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    port = free_port()
    path = bundle(tmp_path / 'dead1' / 'web', size=20 * MB)
    keys = {'AWS_ACCESS_KEY_ID': 'me', 'AWS_SECRET_ACCESS_KEY': 'sesame99', 'AWS_DEFAULT_REGION': 'us-east-1'}
    with serving([server, '-H', '127.0.0.1', '-p', str(port)], port):
        repository = opened('restic', 's3:http://127.0.0.1:%d/off-site/of lifeboat' % port, **keys)
        repository.create()
        assert send(repository, path) == (None, ['sent'])
        assert send(repository, path) == (None, ['present'])
        back = fetching.fetch(repository, repository.stored()[0], os.fsencode(str(tmp_path / 'back')), False)
        assert subprocess.run(['diff', '-r', os.fsdecode(path), back['path']], check=False).returncode == 0
    with pytest.raises(base.RepositoryError) as raised:
        opened('restic', 's3:http://127.0.0.1:%d/off-site/of lifeboat' % port, patience=1, **keys).stored()
    assert 'sesame99' not in str(raised.value)


@long
def test_over_ssh(kind, tmp_path):
    if os.geteuid() or not os.path.exists('/usr/sbin/sshd'):
        pytest.skip('needs root and sshd')
    for name in ('host', 'user'):
        subprocess.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', str(tmp_path / name)], check=True)
    port = free_port()
    os.makedirs('/run/sshd', exist_ok=True)
    (tmp_path / 'sshd').write_text('Port %d\nListenAddress 127.0.0.1\nHostKey %s/host\nAuthorizedKeysFile %s/user.pub\nStrictModes no\nUsePAM no\n'
                                   'PidFile none\nPermitRootLogin yes\nSubsystem sftp internal-sftp\n' % (port, tmp_path, tmp_path))
    ssh = '#!/bin/sh\nexec /usr/bin/ssh -F none -i %s/user -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -p %d "$@"\n'
    (tmp_path / 'bin').mkdir()
    (tmp_path / 'bin' / 'ssh').write_text(ssh % (tmp_path, port))
    (tmp_path / 'bin' / 'ssh').chmod(0o755)
    path = bundle(tmp_path / 'dead1' / 'web', size=20 * MB)
    with serving(['/usr/sbin/sshd', '-D', '-f', str(tmp_path / 'sshd')], port):
        where = '%s127.0.0.1:%s' % ('sftp:' if kind == 'restic' else 'root@', tmp_path / 'repository')
        repository = opened(kind, where, PATH='%s:%s' % (tmp_path / 'bin', os.environ['PATH']))
        repository.create()
        assert send(repository, path) == (None, ['sent'])
        assert fetching.fetch(repository, repository.stored()[0], os.fsencode(str(tmp_path / 'back')), False)['changed']


@long
def test_a_repository_that_was_damaged(kind, tmp_path):
    """Never a bundle that looks whole."""
    repository = opened(kind, tmp_path / 'repository')
    repository.create()
    send(repository, bundle(tmp_path / 'dead1' / 'web', size=20 * MB))
    item = repository.stored()[0]
    largest = max((os.path.join(folder, name) for folder, dummy, names in os.walk(str(tmp_path / 'repository')) for name in names), key=os.path.getsize)
    os.chmod(largest, 0o600)
    with open(largest, 'r+b') as stream:
        stream.seek(os.path.getsize(largest) // 2)
        stream.write(bytes(10000))
    with pytest.raises(LifeboatError):
        fetching.fetch(repository, item, os.fsencode(str(tmp_path / 'back')), False)
    assert reading.find_bundles(str(tmp_path / 'back')) == []
