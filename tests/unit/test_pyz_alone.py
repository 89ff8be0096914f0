"""lifeboat.pyz in a root that holds nothing but Python: no /proc, no /dev, no /etc, no other program; everything but /out is read-only.

Runs on the Python that runs the tests: `make units` takes the oldest and the newest one.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile

import deadroot
import pytest
import pyz

NOT_NEEDED = shutil.ignore_patterns('test', 'tests', 'idlelib', 'tkinter', 'ensurepip', 'site-packages', 'dist-packages', 'lib2to3',
                                    'config-*', 'pydoc_data', 'turtledemo')
# the root, its /out: a small file system of its own, or what the next lines make of it
MOUNTS = 'mount --bind "$1" "$1"; mount -t tmpfs -o size=$2 none "$1/out"; mount -o remount,bind,ro "$1"; shift 2; '


def libraries(paths):
    """Paths of the shared libraries that programs and modules load, the loader too, and the one that libc itself loads when a thread ends."""
    said = subprocess.run(['ldd'] + paths, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout.decode()
    found = set(re.findall(r'(/\S+) \(0x', said))
    unwinder = [os.path.join(os.path.dirname(path), 'libgcc_s.so.1') for path in found if os.path.basename(path).startswith('libc.so')]
    return found.union(filter(os.path.exists, unwinder))


def put(source, root):
    target = root / source.lstrip('/')
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, str(target))


@pytest.fixture(scope='module')
def alone():
    """(root, path of Python in it), with lifeboat.pyz in /tool and a dead host in /host."""
    if os.geteuid():
        pytest.skip('needs root to change the root')
    root = pathlib.Path(tempfile.mkdtemp(prefix='lb-alone-'))
    python, library = os.path.realpath(sys.executable), sysconfig.get_paths()['stdlib']
    shutil.copytree(library, str(root / library.lstrip('/')), ignore=NOT_NEEDED, symlinks=True)
    modules = [str(path) for path in pathlib.Path(library, 'lib-dynload').glob('*.so')]
    for path in [python] + sorted(libraries([python] + modules)):
        put(path, root)
    pyz.pyz(str(root / 'tool'), 1000000000)
    deadroot.build(str(root / 'host' / 'var' / 'lib' / 'docker'), containers=3, host_root=str(root / 'host'))
    (root / 'out').mkdir()
    assert sorted(set(os.listdir(str(root))) - {'root', 'usr', 'lib', 'lib64', 'opt'}) == ['host', 'out', 'tool']
    yield root, python
    shutil.rmtree(str(root))


# what is called one after another in one Python, till one fails: the exit status is that one's
CALLS = """
import runpy, sys
status = None
for call in sys.argv[1:]:
    sys.argv = ['/tool/lifeboat.pyz', '--host-root', '/host'] + call.split()
    try:
        runpy.run_path(sys.argv[0], run_name='__main__')
    except SystemExit as end:
        status = end.code
    sys.stdout.flush()
    if status != 0:
        break
sys.exit(status)
"""


def run(alone, *calls, **options):
    """CompletedProcess of the tool, called once for each of CALLS in one mounted root, till one fails; the exit status is that one's."""
    root, python = alone
    inside = ['-I', '/tool/lifeboat.pyz', '--host-root', '/host'] + calls[0].split() if len(calls) == 1 else ['-I', '-c', CALLS] + list(calls)
    script = 'cd /; root="$1"; ' + MOUNTS + 'chroot "$root" "$@"' + options.get('then', '')
    return subprocess.run(['unshare', '-m', 'sh', '-ec', script, 'sh', str(root), options.get('size', '32m'), python] + inside,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={'PATH': os.environ['PATH']}, timeout=120,
                          check=False)


def test_what_looks_and_prints(alone):
    done = run(alone, 'look', 'ls -R web', 'cat web:/etc/passwd', 'find web -name passwd', 'du web', 'diff web', 'logs web', 'inspect web', 'mount web',
               'completion fish')
    assert done.returncode == 0, done.stderr
    assert b'lifeboat: ' not in done.stderr and b'/etc/passwd\n' in done.stdout


def test_what_copies(alone, tmp_path):
    done = run(alone, 'cp web:/ /out/web', 'rescue /out/rescued --include config,writable,rootfs,volumes,logs', 'verify /out/rescued',
               then='; tar -C "$root/out" -cf %s web' % (tmp_path / 'copied.tar'))
    assert done.returncode == 0, done.stderr
    assert b'cannot' not in done.stderr
    with tarfile.open(str(tmp_path / 'copied.tar')) as archive:
        assert 'web/etc/passwd' in archive.getnames()
    assert run(alone, 'tar web').stdout.endswith(bytes(1024))


@pytest.mark.parametrize('call, words', [('cp web:/ /out/web', 'No space left on device'), ('rescue /out/rescued', 'has 16.0 KiB free'),
                                         ('rescue --no-check-space /out/rescued', 'No space left on device')])
def test_a_full_disk_is_said_and_nothing_half_has_its_final_name(alone, call, words):
    done = run(alone, call, size='16k', then=' || { status=$?; cd "$root/out"; find . >&2; exit $status; }')
    assert done.returncode == 2
    said = (done.stdout + done.stderr).decode()
    assert 'Traceback (' not in said and words in said, said
    made = [line for line in said.split('\n') if line.startswith('./')]
    assert './web' not in made and not any(path.endswith('/manifest.json') and '/.' not in path for path in made), made


def test_nothing_can_be_written_beside_it(alone):
    done = run(alone, 'cp web:/etc /host/copied')
    assert done.returncode == 2 and b'Read-only file system' in done.stderr
