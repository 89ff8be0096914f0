"""A disk goes in, a host comes out: disks with ext4 / and xfs /var whose power was cut, in every format, attached,
rescued, released; and killed at every step of it. The disk stays the same to the byte.
"""
import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import uuid

import pytest
from needs import need
from test_mount_guide import known

COLLECTION = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import deadroot  # noqa: E402  pylint: disable=wrong-import-position
import disktable  # noqa: E402  pylint: disable=wrong-import-position

from ansible_collections.lifeboat.docker.plugins.module_utils.attach import loops, run  # noqa: E402
from ansible_collections.lifeboat.docker.plugins.module_utils.attach.session import Request  # noqa: E402
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError  # noqa: E402
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry  # noqa: E402
from ansible_collections.lifeboat.docker.plugins.module_utils.facts import gather as facts  # noqa: E402
from ansible_collections.lifeboat.docker.plugins.module_utils.rescue import run as rescues  # noqa: E402

TOOLS = ('qemu-img', 'qemu-storage-daemon', 'losetup', 'mkfs.ext4', 'mkfs.xfs')
MIB = 1 << 20
PARTS = ((MIB, 64 * MIB, uuid.UUID(int=0x11), 'root'), (66 * MIB, 320 * MIB, uuid.UUID(int=0x22), 'var'))
SIZE = 388 * MIB
LAST = 50                               # files that only the journals have


def checksum(path):
    digest = hashlib.sha256()
    with open(path, 'rb') as handle:
        for block in iter(lambda: handle.read(1 << 20), b''):
            digest.update(block)
    return digest.hexdigest()


def written_last(folder):
    os.makedirs(folder)
    for number in range(LAST):
        with open(os.path.join(folder, '%d' % number), 'wb') as out:
            out.write(b'%d' % number * 500)
            out.flush()
            os.fsync(out.fileno())


@pytest.fixture(scope='module', name='dead')
def dead_disk(tmp_path_factory):
    """(image of the disk, relative folders with LAST files each, which only the journals have)"""
    need(*TOOLS)
    if not known('xfs'):
        (pytest.fail if os.environ.get('CI') else pytest.skip)('this kernel has no xfs')
    folder = str(tmp_path_factory.mktemp('dead'))
    running, image, point = (os.path.join(folder, name) for name in ('running.img', 'disk.img', 'mnt'))
    os.mkdir(point)
    with open(running, 'wb') as out:
        out.truncate(SIZE)
    disktable.write_gpt(running, PARTS)
    nodes = [subprocess.check_output(['losetup', '-f', '--show', '-o', str(start), '--sizelimit', str(size), running],
                                     universal_newlines=True).strip() for start, size, dummy, dummy2 in PARTS]
    try:
        subprocess.run(['mkfs.ext4', '-q', '-E', 'lazy_itable_init=0,lazy_journal_init=0', '-U', str(uuid.UUID(int=0x33)), nodes[0]], check=True)
        subprocess.run(['mkfs.xfs', '-q', '-L', 'VAR DISK', nodes[1]], check=True)
        with contextlib.ExitStack() as stack:
            for node, where in ((nodes[0], point), (nodes[1], os.path.join(point, 'var'))):
                os.makedirs(where, exist_ok=True)
                subprocess.run(['mount', node, where], check=True)
                stack.callback(subprocess.run, ['umount', where], check=True)
            os.makedirs(os.path.join(point, 'etc'))
            for name, text in (('fstab', 'UUID=%s / ext4 defaults 0 1\nLABEL=VAR\\040DISK /var xfs defaults 0 2\n'
                                         'UUID=%s /var/lib/elsewhere ext4 nofail 0 2\n' % (uuid.UUID(int=0x33), uuid.UUID(int=0x99))),
                               ('os-release', 'ID=debian\nPRETTY_NAME="Debian GNU/Linux 12"\nVERSION_ID="12"\n'), ('hostname', 'dead1\n'),
                               ('passwd', 'root:x:0:0:root:/root:/bin/sh\n')):
                with open(os.path.join(point, 'etc', name), 'w', encoding='utf-8') as out:
                    out.write(text)
            os.makedirs(os.path.join(point, 'var/lib/elsewhere'))
            built = deadroot.build(os.path.join(point, 'var/lib/docker'), host_root=point, containers=3)
            subprocess.run(['sync'], check=True)
            last = [os.path.join(point, 'srv/written-last'), os.path.join(os.fsdecode(built.containers[0].upper), 'written-last')]
            for each in last:
                written_last(each)
            subprocess.run(['cp', '--sparse=always', running, image], check=True)
    finally:
        for node in nodes:
            subprocess.run(['losetup', '-d', node], check=True)
    os.unlink(running)
    os.chmod(image, 0o444)
    return image, [os.path.relpath(each, point) for each in last]


@contextlib.contextmanager
def attached(request):
    try:
        yield run.attach(request)
    finally:
        run.release(request)


def nothing_left(scratch):
    """Nothing of an attachment in SCRATCH is on this machine any more."""
    with open('/proc/self/mountinfo', encoding='utf-8') as mounts:
        assert scratch not in mounts.read()
    assert not [behind for dummy, behind, dummy2 in loops._all() if behind.startswith(scratch)]
    for name in os.listdir('/proc'):
        if name.isdigit():
            with contextlib.suppress(OSError):
                with open('/proc/%s/cmdline' % name, 'rb') as stream:
                    words = stream.read().split(b'\0')
                assert not (b'qemu-storage-daemon' in words[0] and any(scratch.encode() in word for word in words))
    assert not os.path.exists(scratch) or os.listdir(scratch) == []


def rescued(host_root, dest):
    """{file of a bundle: SHA-256} of everything that does not carry a time."""
    with registry.open_host(os.fsencode(host_root)) as host:
        result = rescues.rescue(host, rescues.Request(os.fsencode(dest), host_name='dead1', compression='none'))
    # a real file named .wh.* makes the image of one of them partial, on any disk
    assert sorted(item['status'] for item in result['bundles']) == ['complete', 'complete', 'partial']
    assert {each['code'] for each in result['problems']} <= {'WHITEOUT_NAME', 'SOCKET_SKIPPED', 'IMAGE_ATTRIBUTES_BY_STORE'}
    return {(item['container'], each['name']): each['sha256'] for item in result['bundles'] for each in item['components']}


def told(host_root):
    with registry.open_host(os.fsencode(host_root)) as host:
        return repr(facts.gather(host, facts.Options())).replace(host_root, '/HOST')


def test_ext4_and_xfs_are_one_host_and_nothing_is_lost(dead, tmp_path):
    image, last = dead
    before = checksum(image)
    request = Request((image,), scratch_dir=str(tmp_path / 'scratch'))
    with attached(request) as result:
        host = result['hosts'][0]
        assert len(result['hosts']) == 1
        assert host['os'] == {'id': 'debian', 'name': 'Debian GNU/Linux 12', 'version': '12', 'hostname': 'dead1'}
        assert [(each['point'], each['kind']) for each in host['file_systems']] == [('/', 'ext4'), ('/var', 'xfs')]
        assert [(each['engine'], each['containers']) for each in host['engines']] == [('docker', 3)]
        assert [len(os.listdir(os.path.join(host['host_root'], each))) for each in last] == [LAST, LAST]
        # a file system that is not on this disk is said
        assert [each['object'] for each in result['problems']] == ['/var/lib/elsewhere']
        again = run.attach(request)
        assert again.pop('changed') is False and again == {key: result[key] for key in again}
        with pytest.raises(OSError):
            open(os.path.join(host['host_root'], 'etc', 'new'), 'w')  # pylint: disable=unspecified-encoding,consider-using-with
    assert run.release(request)['changed'] is False
    nothing_left(str(tmp_path / 'scratch'))
    assert checksum(image) == before


def test_without_the_journals_what_was_written_last_is_missing_and_said(dead, tmp_path):
    image, last = dead
    before = checksum(image)
    with attached(Request((image,), journal='ignore', scratch_dir=str(tmp_path / 'scratch'))) as result:
        assert sum(each['code'] == 'JOURNAL_IGNORED' for each in result['problems']) == 2
        missing = [os.path.join(result['hosts'][0]['host_root'], each) for each in last]
        assert sum(len(os.listdir(each)) if os.path.isdir(each) else 0 for each in missing) < 2 * LAST
    assert checksum(image) == before


def pieces(image, folder):
    subprocess.run(['split', '-b', '100M', '-d', '-a', '3', image, os.path.join(folder, 'disk.img.')], check=True)
    return os.path.join(folder, 'disk.img.000')


def converted(kind, *options):
    def make(image, folder):
        target = os.path.join(folder, 'disk.' + kind)
        subprocess.run(['qemu-img', 'convert', '-f', 'raw', '-O', kind] + list(options) + [image, target], check=True)
        return target
    return make


def backed(image, folder):
    """qcow2 over qcow2 over raw, and the recorded paths are those of another machine."""
    base, middle, top = (os.path.join(folder, name) for name in ('basedisk', 'middle.qcow2', 'diffdisk'))
    subprocess.run(['cp', '--sparse=always', image, base], check=True)
    with open(base, 'r+b') as out:      # what the upper ones have, the lowest has not
        out.seek(PARTS[1][0])
        out.write(bytes(16 * MIB))
    subprocess.run(['qemu-img', 'create', '-q', '-f', 'qcow2', '-b', base, '-F', 'raw', middle], check=True)
    subprocess.run(['qemu-img', 'create', '-q', '-f', 'qcow2', '-b', middle, '-F', 'qcow2', top], check=True)
    with open(image, 'rb') as source, open(os.path.join(folder, 'lost'), 'wb') as out:
        source.seek(PARTS[1][0])
        out.write(source.read(16 * MIB))
    subprocess.run(['qemu-io', '-f', 'qcow2', '-c', 'write -s %s %d 16M' % (os.path.join(folder, 'lost'), PARTS[1][0]), middle], check=True,
                   stdout=subprocess.DEVNULL)
    os.unlink(os.path.join(folder, 'lost'))
    subprocess.run(['qemu-img', 'rebase', '-u', '-f', 'qcow2', '-b', '/Users/me/.lima/x/middle.qcow2', '-F', 'qcow2', top], check=True)
    subprocess.run(['qemu-img', 'rebase', '-u', '-f', 'qcow2', '-b', '/Users/me/.lima/x/basedisk', '-F', 'raw', middle], check=True)
    return top


FORMATS = {'qcow2': converted('qcow2'), 'qcow2 with backing files': backed, 'vhdx': converted('vhdx'), 'vmdk': converted('vmdk'),
           'vmdk in extents': converted('vmdk', '-o', 'subformat=twoGbMaxExtentFlat'), 'vdi': converted('vdi'),
           'vhd': converted('vpc', '-o', 'force_size=on'), 'in pieces': pieces}


@pytest.fixture(scope='module', name='expected')
def facts_and_sums(dead, tmp_path_factory):
    folder = tmp_path_factory.mktemp('raw')
    with attached(Request((dead[0],), scratch_dir=str(folder / 'scratch'))) as result:
        root = result['hosts'][0]['host_root']
        return told(root), rescued(root, str(folder / 'out'))


@pytest.mark.parametrize('kind', sorted(FORMATS))
def test_every_format_gives_the_same_facts_and_bundles(kind, dead, expected, tmp_path):
    folder = tmp_path / 'disk'
    folder.mkdir()
    path = FORMATS[kind](dead[0], str(folder))
    before = {name: checksum(str(folder / name)) for name in os.listdir(str(folder))}
    with attached(Request((path,), scratch_dir=str(tmp_path / 'scratch'))) as result:
        root = result['hosts'][0]['host_root']
        assert (told(root), rescued(root, str(tmp_path / 'out'))) == expected
    assert {name: checksum(str(folder / name)) for name in os.listdir(str(folder))} == before
    nothing_left(str(tmp_path / 'scratch'))
    shutil.rmtree(str(folder))


def test_a_kill_at_any_step_is_undone_by_a_release(dead, tmp_path):
    """SIGKILL before and after each command, of the attachment and of the release: the next release leaves nothing."""
    image, dummy = dead
    before, scratch = checksum(image), str(tmp_path / 'scratch')
    request = Request((image,), scratch_dir=scratch)
    steps = done = 0
    while not done:
        done = _killed_after(lambda: run.attach(request), steps)
        if done:                        # it went through: now the release is killed
            break
        run.release(request)
        nothing_left(scratch)
        steps += 1
    assert steps > 12
    ended = number = 0
    while not ended:
        ended = _killed_after(lambda: run.release(request), number)
        number += 1
        if not ended and number % 2:    # half of them are attached again over the rest, without a release
            run.attach(request)
    run.release(request)
    nothing_left(scratch)
    assert number > 6 and checksum(image) == before


def _killed_after(work, calls):
    """Do WORK in a process that is killed at its call number CALLS of a command, before or after it -> whether it ended."""
    child = os.fork()
    if not child:
        try:
            from ansible_collections.lifeboat.docker.plugins.module_utils.attach import commands
            whole, count = commands.Commands.run, [0]

            def counted(self, *words, **options):
                for when in (0, 1):
                    if count[0] == calls:
                        os.kill(os.getpid(), signal.SIGKILL)
                    count[0] += 1
                    if not when:
                        said = whole(self, *words, **options)
                return said
            commands.Commands.run = counted
            work()
        finally:
            os._exit(0)
    return not os.WIFSIGNALED(os.waitpid(child, 0)[1])


def test_a_release_says_who_uses_the_disk_and_goes_on_later(dead, tmp_path):
    image, dummy = dead
    request = Request((image,), scratch_dir=str(tmp_path / 'scratch'))
    result = run.attach(request)
    user = subprocess.Popen(['sleep', '600'], cwd=os.path.join(result['hosts'][0]['host_root'], 'var'))  # pylint: disable=consider-using-with
    try:
        with pytest.raises(LifeboatError) as raised:
            run.release(request)
        assert 'sleep (process %d)' % user.pid in str(raised.value)
    finally:
        user.kill()
        user.wait()
    assert run.release(request)['changed'] is True
    nothing_left(str(tmp_path / 'scratch'))


def test_nothing_of_others_is_touched(dead, tmp_path):
    """The same image on a loop device of somebody else, and a mount of theirs below our folder."""
    image, dummy = dead
    other = subprocess.check_output(['losetup', '-r', '-f', '--show', image], universal_newlines=True).strip()
    try:
        request = Request((image,), scratch_dir=str(tmp_path / 'scratch'))
        with attached(request):
            pass
        assert [behind for node, behind, dummy2 in loops._all() if node == other] == [image]
    finally:
        subprocess.run(['losetup', '-d', other], check=True)


def test_a_journal_that_does_not_fit_into_the_scratch_is_a_problem_and_not_a_hang(dead, tmp_path):
    image, dummy = dead
    request = Request((image,), scratch_dir=str(tmp_path / 'scratch'), scratch_size=256 << 10)
    before = checksum(image)
    try:
        with contextlib.suppress(LifeboatError):
            result = run.attach(request)
            assert result['problems']
    finally:
        run.release(request)
    nothing_left(str(tmp_path / 'scratch'))
    assert checksum(image) == before


def test_links_and_mount_points_of_a_hostile_disk_stay_inside(tmp_path):
    """fstab of a disk mounts at a link that leads out of it, and binds a folder that is a link."""
    need('mkfs.ext4', 'losetup')
    tree, image = tmp_path / 'tree', str(tmp_path / 'disk.img')
    for name in ('etc', 'inside'):
        (tree / name).mkdir(parents=True)
    outside = tmp_path / 'outside'
    outside.mkdir()
    (tree / 'etc' / 'passwd').write_text('x')
    (tree / 'etc' / 'os-release').write_text('PRETTY_NAME="\x1b[31mevil"\n')
    os.symlink(str(outside), str(tree / 'out'))
    os.symlink('../../../../../../..' + str(outside), str(tree / 'up'))
    (tree / 'etc' / 'fstab').write_text('/inside /out none bind 0 0\n/inside /up none bind 0 0\n/up /inside none bind 0 0\n'
                                        '/etc /inside none bind 0 0\n')
    with open(image, 'wb') as out:
        out.truncate(32 * MIB)
    subprocess.run(['mkfs.ext4', '-q', '-F', '-d', str(tree), image], check=True)
    with attached(Request((image,), scratch_dir=str(tmp_path / 'scratch'))) as result:
        host = result['hosts'][0] if result['hosts'] else None
        assert host is not None and '\x1b' not in host['os']['name']
        assert sorted(os.listdir(os.path.join(host['host_root'], 'inside'))) == ['fstab', 'os-release', 'passwd']
        with open('/proc/self/mountinfo', encoding='utf-8') as mounts:
            assert str(outside) not in [line.split()[4] for line in mounts]
    nothing_left(str(tmp_path / 'scratch'))


def test_one_command_of_the_tool_is_the_whole_job(dead, tmp_path, capsys):
    from ansible_collections.lifeboat.docker.plugins.module_utils.cli import main
    folder, scratch = tmp_path / 'disk', str(tmp_path / 'scratch')
    folder.mkdir()
    path = FORMATS['vhdx'](dead[0], str(folder))
    before = checksum(path)
    status = main.main(['--disk', path, '--scratch-dir', scratch, '--json', 'rescue', str(tmp_path / 'out'), '--host-name', 'dead1'])
    assert status == 1, capsys.readouterr()     # partial, for the name of a file; see rescued()
    assert len([name for name in os.listdir(str(tmp_path / 'out' / 'dead1')) if os.path.isdir(str(tmp_path / 'out' / 'dead1' / name / 'config'))]) == 3
    nothing_left(scratch)
    assert checksum(path) == before
    assert main.main(['--disk', path, '--scratch-dir', scratch, 'mount', 'web']) == 2
    assert main.main(['--disk', path, '--host-root', '/mnt', '--scratch-dir', scratch, 'look']) == 2
    nothing_left(scratch)


def test_one_playbook_is_the_whole_job(dead, tmp_path):
    import ansible_collections
    playbook = os.path.join(os.path.dirname(sys.executable), 'ansible-playbook')
    if not os.path.exists(playbook):
        (pytest.fail if os.environ.get('CI') else pytest.skip)('no ansible-playbook beside this Python')
    top, scratch = os.path.dirname(list(ansible_collections.__path__)[0]), str(tmp_path / 'scratch')
    extra = {'rescue_disk': dead[0], 'rescue_dest': str(tmp_path / 'out'), 'rescue_scratch_dir': scratch, 'rescue_become': False,
             'rescue_report_dir': str(tmp_path / 'reports'), 'ansible_python_interpreter': sys.executable}
    done = subprocess.run([playbook, '-i', 'localhost,', '-c', 'local', 'lifeboat.docker.rescue', '-e', json.dumps(extra)], check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True, cwd=str(tmp_path),
                          env=dict(os.environ, ANSIBLE_COLLECTIONS_PATH=top, ANSIBLE_NOCOLOR='1', HOME=str(tmp_path)))
    assert done.returncode == 0, done.stdout[-3000:]
    bundles = os.listdir(str(tmp_path / 'out' / 'localhost'))
    assert len([name for name in bundles if os.path.exists(str(tmp_path / 'out' / 'localhost' / name / 'manifest.json'))]) == 3, done.stdout
    nothing_left(scratch)


MAKERS = {
    'ext2': (['mkfs.ext2', '-q', '-F', '-L', 'a label'], 16), 'ext3': (['mkfs.ext3', '-q', '-F', '-L', 'a label'], 16),
    'ext4': (['mkfs.ext4', '-q', '-F', '-L', 'a label'], 16), 'xfs': (['mkfs.xfs', '-q', '-f', '-L', 'a label'], 320),
    'btrfs': (['mkfs.btrfs', '-q', '-f', '-L', 'a label'], 160), 'vfat': (['mkfs.vfat', '-n', 'A LABEL'], 40), 'swap': (['mkswap', '-L', 'a label'], 16),
}


@pytest.mark.parametrize('kind', sorted(MAKERS))
def test_superblocks_say_what_blkid_says(kind, tmp_path):
    from ansible_collections.lifeboat.docker.plugins.module_utils.attach import session, superblocks
    command, size = MAKERS[kind]
    need(command[0], 'blkid')
    path = str(tmp_path / 'fs')
    with open(path, 'wb') as out:
        out.truncate(size << 20)
    subprocess.run(command + [path], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    said = dict(line.split('=', 1) for line in subprocess.check_output(
        ['blkid', '-p', '-o', 'export', path], universal_newlines=True).splitlines())
    found = superblocks.identify(session.read_of(session.Device(path, 0, size << 20, {}, '')), size << 20)
    label = said.get('LABEL', '').replace('\\ ', ' ')
    assert (found.kind, found.uuid, found.label) == (said['TYPE'], said['UUID'], label)
