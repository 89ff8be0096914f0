"""lifeboat.pyz and the wheel: the same bytes each time, and they run alone, as on a stranger's machine."""
import fcntl
import json
import os
import pathlib
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import zipfile

import deadroot
import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LOOKED = 1 if os.geteuid() else 0       # others than root are told that they do not see all

import pyz


@pytest.fixture(scope='module')
def place():
    """A folder with lifeboat.pyz, which nobody may write to, and a dead host beside it. Other users can reach it."""
    tmp = pathlib.Path(tempfile.mkdtemp(prefix='lb-pyz-'))
    os.chmod(str(tmp), 0o755)
    tool, host = tmp / 'tool', tmp / 'host'
    pyz.pyz(str(tool), 1000000000)
    deadroot.build(str(host / 'var' / 'lib' / 'docker'), containers=3, host_root=str(host))
    os.chmod(str(tool), 0o555)
    yield tmp
    os.chmod(str(tool), 0o755)
    shutil.rmtree(str(tmp))


def run(place, *words, **options):
    python = options.pop('python', sys.executable)
    return subprocess.run([python, '-I', str(place / 'tool' / 'lifeboat.pyz'), '--host-root', str(place / 'host')] + list(words),
                          stdout=options.pop('stdout', subprocess.PIPE), stderr=subprocess.PIPE, env={}, cwd='/', timeout=120, check=False, **options)


# what takes long to load and a look at a host without data roots does without
NOT_AT_FIRST = ('hashlib', 'shutil', 'subprocess', 'tempfile', 'lifeboat_docker.attach', 'lifeboat_docker.records.definition',
                'lifeboat_docker.engines.docker.inventory', 'lifeboat_docker.engines.shared.containerd.store', 'lifeboat_docker.layers',
                'lifeboat_docker.bundles')
LOADED = """
import runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name='__main__')
finally:
    sys.stderr.write('\\n'.join(['loaded:'] + sorted(sys.modules)))
"""


def test_a_start_loads_only_what_it_needs(place, tmp_path):
    (tmp_path / 'empty').mkdir()
    done = subprocess.run([sys.executable, '-I', '-c', LOADED, str(place / 'tool' / 'lifeboat.pyz'), '--host-root', str(tmp_path / 'empty'), 'look'],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 2 and b'NO_DATA_ROOT' in done.stdout, done.stderr
    loaded = done.stderr.decode().partition('loaded:\n')[2].split('\n')
    assert 'lifeboat_docker.cli.main' in loaded
    assert [name for name in loaded if name in NOT_AT_FIRST] == []


COMPILED = """
import runpy, sys
compiled = []
sys.addaudithook(lambda event, given: compiled.append(str(given[1])) if event == 'compile' else None)
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name='__main__')
finally:
    sys.stderr.write('\\n'.join(['compiled:'] + sorted(name for name in compiled if '/lifeboat_docker/' in name)))
"""


@pytest.mark.skipif(sys.version_info < (3, 8), reason='needs audit hooks')
def test_each_file_is_compiled_once(place):
    done = subprocess.run([sys.executable, '-I', '-c', COMPILED, str(place / 'tool' / 'lifeboat.pyz'), '--host-root', str(place / 'host'), 'look'],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    compiled = done.stderr.decode().partition('compiled:\n')[2].split('\n')
    assert len(compiled) > 20 and len(compiled) == len(set(compiled)), compiled


def test_a_trace_has_the_lines_of_the_code(place):
    done = run(place, '-vv', 'ls', 'nobody')
    assert done.returncode == 2 and b'    raise LifeboatError(' in done.stderr, done.stderr


def test_it_runs_unpacked(place, tmp_path):
    with zipfile.ZipFile(str(place / 'tool' / 'lifeboat.pyz')) as archive:
        archive.extractall(str(tmp_path))
    done = subprocess.run([sys.executable, str(tmp_path), '--version'], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 0 and done.stdout.decode().startswith('lifeboat '), done.stderr


def test_two_builds_are_equal(tmp_path):
    for build in (pyz.pyz, pyz.wheel):
        one, two = (build(str(tmp_path / side), 1000000000) for side in 'ab')
        assert pyz.read(one) == pyz.read(two)
        assert os.path.basename(one) == os.path.basename(two)


def test_it_is_a_program_and_holds_nothing_of_ansible(place):
    path = str(place / 'tool' / 'lifeboat.pyz')
    assert pyz.read(path).startswith(b'#!/usr/bin/env python3\n') and os.access(path, os.X_OK)
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        assert '__main__.py' in names and all(name == '__main__.py' or name.startswith('lifeboat_docker/') for name in names)
        assert not any(b'from ansible' in archive.read(name) or b'import ansible' in archive.read(name) for name in names)
        assert all(info.date_time == (2001, 9, 9, 1, 46, 40) for info in archive.infolist())
    assert os.path.getsize(path) < 1000000


CALLS = """
import json, runpy, sys
program = %r
for words in json.loads(sys.argv[1]):
    sys.argv = [program, '--host-root', %r] + words
    try:
        runpy.run_path(program, run_name='__main__')
        status = None
    except SystemExit as end:
        status = end.code
    sys.stdout.flush()
    sys.stderr.write('%%s ended with %%s\\n' %% (json.dumps(words), status))
"""


def test_every_verb_runs_in_an_empty_environment(place, tmp_path):
    """One process for all, since to start one takes longer than what it does."""
    out = str(tmp_path / 'out')
    calls = [(['look'], LOOKED), (['ls', '-R', 'web'], 0), (['cat', 'web:/etc/passwd'], 0), (['find', 'web', '-name', 'x'], 0),
             (['du', 'web'], 0), (['cp', 'web:/etc', str(tmp_path)], 0), (['tar', 'web'], 0), (['diff', 'web'], 0),
             (['logs', 'web'], 0), (['inspect', 'web'], 0), (['rescue', out, '--include', 'config,writable,volumes,logs'], 0),
             (['verify', out], 0), (['mount', 'web'], 0), (['completion', 'bash'], 0), (['--version'], 0)]
    tool = str(place / 'tool' / 'lifeboat.pyz')
    done = subprocess.run([sys.executable, '-I', '-c', CALLS % (tool, str(place / 'host')), json.dumps([words for words, dummy in calls])],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={}, cwd='/', timeout=120, check=False)
    said = done.stderr.decode()
    ended = [line for line in said.splitlines() if ' ended with ' in line]
    assert ended == ['%s ended with %s' % (json.dumps(words), status) for words, status in calls], said
    assert done.returncode == 0 and 'Traceback' not in said
    assert sorted(os.listdir(str(place / 'tool'))) == ['lifeboat.pyz']


def test_stdin_closed(place):
    done = run(place, 'look', '--json', preexec_fn=lambda: os.close(0))
    assert done.returncode == LOOKED and len(json.loads(done.stdout.decode())['containers']) == 3
    done = run(place, 'rescue', str(place / 'closed'), '--include', 'config,writable,volumes', preexec_fn=lambda: os.close(0))
    assert done.returncode == 0, done.stderr


def test_stdout_closed_is_said(place):
    done = run(place, 'look', preexec_fn=lambda: os.close(1))
    assert done.returncode == 2 and b'The output cannot be written' in done.stderr


def test_stderr_closed(place):
    done = run(place, 'ls', 'web:/nothing', preexec_fn=lambda: os.close(2))
    assert done.returncode == 2


def test_a_pipe_that_is_closed_early(place):
    for words in (('ls', '-R', 'web'), ('tar', 'web'), ('look', '--json')):
        reader, writer = os.pipe()
        os.close(reader)
        done = run(place, *words, stdout=writer)
        os.close(writer)
        assert done.returncode == -signal.SIGPIPE and done.stderr == b'', words


def test_full_disk_of_the_output(place):
    if not os.path.exists('/dev/full'):
        pytest.skip('needs /dev/full')
    with open('/dev/full', 'wb') as full:
        done = run(place, 'tar', 'web', stdout=full)
    assert done.returncode == 2 and b'No space left on device' in done.stderr and done.stderr.count(b'\n') == 1


def on_terminal(place, *words, **variables):
    """(exit status, what stands on the terminal) of the tool on a terminal of 80 columns."""
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 80, 0, 0))
    process = subprocess.Popen([sys.executable, '-I', str(place / 'tool' / 'lifeboat.pyz'), '--host-root', str(place / 'host')] + list(words),
                               stdin=child, stdout=child, stderr=child, env=dict({'TERM': 'xterm'}, **variables), close_fds=True)
    os.close(child)
    said = b''
    while True:
        try:
            piece = os.read(parent, 65536)
        except OSError:                 # the other side is closed
            break
        if not piece:
            break
        said += piece
    os.close(parent)
    return process.wait(), said


def test_on_a_terminal_there_are_colours_and_lines_fit(place):
    status, said = on_terminal(place, 'look')
    assert status == LOOKED and b'\x1b[32mcomplete\x1b[0m' in said
    plain = re.sub(b'\x1b\\[[0-9;]*m', b'', said).decode().split('\r\n')
    assert max(map(len, plain)) <= 80
    assert b'\x1b' not in on_terminal(place, 'look', NO_COLOR='1')[1]
    assert b'\x1b' not in on_terminal(place, 'look', TERM='dumb')[1]


def test_on_a_terminal_an_archive_is_refused_and_files_are_harmless(place):
    status, said = on_terminal(place, 'tar', 'web')
    assert status == 2 and b'is a terminal' in said and b'ustar' not in said
    volume = next((place / 'host' / 'var' / 'lib' / 'docker' / 'volumes').glob('shop_db/_data'))
    (volume / 'evil').write_bytes(b'a\x1b]0;owned\x07b\n')
    try:
        assert b'a\\x1b]0;owned\\x07b' in on_terminal(place, 'cat', 'volume:shop_db:/evil')[1]
        assert b'a\x1b]0;owned' in on_terminal(place, 'cat', '--raw', 'volume:shop_db:/evil')[1]
        assert run(place, 'cat', 'volume:shop_db:/evil').stdout == b'a\x1b]0;owned\x07b\n'
    finally:
        (volume / 'evil').unlink()


def test_an_ordinary_user_is_told_what_cannot_be_read(place):
    if os.geteuid():
        pytest.skip('needs root to become another user')
    python = next(path for path in ('/usr/bin/python3', '/usr/local/bin/python3', sys.executable) if os.access(path, os.X_OK))

    def become():
        os.setgid(65534)
        os.setuid(65534)
    containers = str(place / 'host' / 'var' / 'lib' / 'docker')
    os.chmod(containers, 0o700)
    done = run(place, 'look', preexec_fn=become, python=python)
    assert done.returncode == 2 and b'DATA_ROOT_UNREADABLE' in done.stdout and b'root' in done.stdout, done
    done = run(place, 'ls', 'web:/', preexec_fn=become, python=python)
    assert done.returncode == 2 and b'lifeboat: ' in done.stderr and done.stdout == b''


def test_an_older_python_is_told(place):
    with zipfile.ZipFile(str(place / 'tool' / 'lifeboat.pyz')) as archive:
        main = archive.read('__main__.py').decode()
    assert main.index('needs Python 3.6') < main.index('from lifeboat_docker')
    compile(main, 'main', 'exec')


def test_the_wheel_gives_the_command(tmp_path):
    path = pyz.wheel(str(tmp_path), 1000000000)
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        info = 'lifeboat_docker-%s.dist-info/' % pyz.version()
        assert b'lifeboat = lifeboat_docker.cli.main:main' in archive.read(info + 'entry_points.txt')
        record = archive.read(info + 'RECORD').decode().splitlines()
        assert sorted(line.split(',')[0] for line in record) == sorted(names)
        archive.extractall(str(tmp_path / 'site'))
    done = subprocess.run([sys.executable, '-c', 'import sys; from lifeboat_docker.cli.main import main; sys.exit(main(["--version"]))'],
                          cwd=str(tmp_path / 'site'), stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 0 and done.stdout.decode().strip() == 'lifeboat ' + pyz.version(), done.stderr
    shutil.rmtree(str(tmp_path / 'site'))


def test_nothing_that_is_loaded_by_name_is_left_out():
    names = pyz.needed()
    for folder in pyz.BY_NAME:
        for name in os.listdir(os.path.join(pyz.UTILS, folder)):
            if name.endswith('.py'):
                assert os.path.join(folder, name) in names
    assert 'restore/engineapi.py' not in names
