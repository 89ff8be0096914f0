"""cp: files as files, nothing outside of the destination, nothing half under a final name."""
import errno
import hashlib
import json
import os
import shutil
import signal
import stat
import subprocess

import deadroot
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.cli import copying, main


def compare(tree, folder, owners=True):
    """Every node of TREE ({path: Node}) is in FOLDER as it should be, and nothing else is."""
    top = os.fsencode(str(folder))
    there = {os.path.relpath(os.path.join(base, name), top) for base, folders, names in os.walk(top) for name in folders + names}
    assert there == {path for path, node in tree.items() if node.kind != 'socket'}
    inodes = {}
    for path, node in tree.items():
        if node.kind == 'socket':
            continue
        st = os.lstat(os.path.join(top, path))
        assert stat.S_IFMT(st.st_mode) == stat.S_IFMT(node.st_mode), path
        if node.kind != 'symlink':
            mode = node.mode if owners else node.mode & 0o1777
            assert stat.S_IMODE(st.st_mode) == mode, path
        assert st.st_mtime_ns == node.mtime, path
        if owners:
            assert (st.st_uid, st.st_gid) == (node.uid, node.gid), path
        if node.kind == 'file':
            with open(os.path.join(top, path), 'rb') as found:
                assert found.read() == node.content(), path
            if node.hole >= 1 << 20:
                assert st.st_blocks * 512 < node.hole, path
            if node.inode:
                inodes.setdefault(node.inode, set()).add(st.st_ino)
        elif node.kind == 'symlink':
            assert os.readlink(os.path.join(top, path)) == node.target
    assert all(len(each) == 1 for each in inodes.values())


def is_root():
    return os.geteuid() == 0


def test_a_whole_container_with_everything_about_its_files(dead, lifeboat, tmp_path):
    ran = lifeboat('cp', '--no-mounts', 'web:/', str(tmp_path / 'web'))
    assert ran.status == 0 and 'copied' in ran.err
    compare(dead[0].container('web').tree(), tmp_path / 'web', is_root())
    assert os.listdir(str(tmp_path)) == ['web']


def test_extended_attributes_are_kept(dead, lifeboat, tmp_path):
    lifeboat('cp', '--no-mounts', 'web:/', str(tmp_path / 'web'))
    compared = 0
    for path, node in dead[0].container('web').tree().items():
        for name, value in node.xattrs:
            assert os.getxattr(os.path.join(os.fsencode(str(tmp_path / 'web')), path), name) == value
            compared += 1
    if dead[0].abilities.xattr == 'trusted.':
        assert compared


def test_a_volume_is_at_its_place(dead, lifeboat, tmp_path):
    assert lifeboat('cp', 'web:/srv/uploads', str(tmp_path)).status == 0
    compare(dead[0].volume('shop_uploads').nodes, tmp_path / 'uploads', is_root())
    assert lifeboat('cp', 'web:/srv', str(tmp_path)).status == 0
    compare(dead[0].volume('shop_uploads').nodes, tmp_path / 'srv' / 'uploads', is_root())


def test_what_is_in_a_folder_goes_into_one_that_exists(dead, lifeboat, tmp_path):
    (tmp_path / 'mine').write_text('x')
    assert lifeboat('cp', 'volume:shop_db:/.', str(tmp_path)).status == 0
    assert (tmp_path / 'mine').read_text() == 'x'
    assert (tmp_path / 'data' / 'a').read_bytes() == b'A' * 1000


def test_a_file_gets_a_new_name_or_goes_into_a_folder(dead, lifeboat, tmp_path):
    content = dead[0].container('web').tree()[b'etc/passwd'].content()
    assert lifeboat('cp', 'web:/etc/passwd', str(tmp_path / 'new')).status == 0
    assert (tmp_path / 'new').read_bytes() == content
    assert lifeboat('cp', 'web:/etc/passwd', 'web:/etc/group', str(tmp_path / 'more')).status == 0
    assert sorted(os.listdir(str(tmp_path / 'more'))) == ['group', 'passwd']


def test_nothing_is_written_over(dead, lifeboat, tmp_path):
    (tmp_path / 'passwd').write_text('mine')
    ran = lifeboat('cp', 'web:/etc/passwd', str(tmp_path))
    assert ran.status == 2 and 'already' in ran.err and (tmp_path / 'passwd').read_text() == 'mine'
    ran = lifeboat('cp', '--force', 'web:/etc/passwd', str(tmp_path))
    assert ran.status == 0
    aside = [name for name in os.listdir(str(tmp_path)) if name.startswith('passwd.until-')]
    assert len(aside) == 1 and (tmp_path / aside[0]).read_text() == 'mine'
    assert (tmp_path / 'passwd').read_bytes() == dead[0].container('web').tree()[b'etc/passwd'].content()


def test_links_are_copied_and_not_followed(dead, lifeboat, tmp_path):
    assert lifeboat('cp', 'web:/srv/escape', str(tmp_path)).status == 0
    assert os.path.islink(str(tmp_path / 'escape'))
    assert lifeboat('cp', 'web:/srv/uploads/latest', str(tmp_path)).status == 0
    assert os.readlink(str(tmp_path / 'latest')) == 'data/a'
    assert lifeboat('cp', '-L', 'web:/srv/uploads/latest', str(tmp_path / 'followed')).status == 0
    assert (tmp_path / 'followed').read_bytes() == b'A' * 1000


def test_a_link_where_the_copy_is_made_is_not_written_through(dead, lifeboat, tmp_path):
    """Somebody who may write into the destination plants links under the names that the copy uses."""
    victim, dest = tmp_path / 'victim', tmp_path / 'dest'
    victim.mkdir()
    dest.mkdir()
    (victim / 'file').write_text('safe')
    source = '%s container %s /etc' % (os.fsdecode(dead[0].root), dead[0].container('web').id)
    os.symlink(str(victim), os.path.join(os.fsencode(str(dest)), copying.temporary(b'etc', source)))
    ran = lifeboat('cp', 'web:/etc', str(dest))
    assert ran.status == 2 and not (dest / 'etc').exists()
    assert os.listdir(str(victim)) == ['file'] and (victim / 'file').read_text() == 'safe'


def test_dest_inside_the_data_root_is_refused(dead, lifeboat):
    inside = os.path.join(os.fsdecode(dead[0].root), 'copies')
    ran = lifeboat('cp', 'web:/etc', inside)
    assert ran.status == 2 and 'must not be written' in ran.err and not os.path.exists(inside)


def test_dest_inside_the_copied_bind_is_refused(dead, lifeboat):
    mount = next(mount for mount in dead[0].container('web').mounts if mount.type == 'bind')
    ran = lifeboat('cp', 'web:' + mount.destination, os.fsdecode(mount.path) + '/x')
    assert ran.status == 2 and 'must not be written' in ran.err


def test_sums_verify(dead, lifeboat, tmp_path):
    assert lifeboat('cp', '--sums', str(tmp_path / 'sums'), 'web:/srv', str(tmp_path)).status == 0
    done = subprocess.run(['sha256sum', '--quiet', '-c', '../sums'], cwd=str(tmp_path / 'srv'), check=False)
    assert done.returncode == 0
    listed = (tmp_path / 'sums').read_bytes()
    assert hashlib.sha256(dead[0].container('web').tree()[b'srv/sparse'].content()).hexdigest().encode() in listed


def interrupted_after(monkeypatch, count):
    """The Copy ends as by Ctrl-C at its file number COUNT."""
    real, seen = copying.Copy._file, []

    def file(self, *arguments):
        seen.append(1)
        if len(seen) > count:
            raise main.Ended(signal.SIGINT)
        return real(self, *arguments)
    monkeypatch.setattr(copying.Copy, '_file', file)


def test_ctrl_c_leaves_nothing_half_and_the_next_run_goes_on(dead, lifeboat, tmp_path, monkeypatch):
    ended = []
    monkeypatch.setattr(main, '_end_by', ended.append)
    with monkeypatch.context() as during:
        interrupted_after(during, 8)
        ran = lifeboat('cp', '--no-mounts', 'web:/', str(tmp_path / 'web'))
    assert ended == [signal.SIGINT]
    assert 'Interrupted' in ran.err and 'Run the same command again' in ran.err
    assert not (tmp_path / 'web').exists()
    left = os.listdir(str(tmp_path))
    assert len(left) == 1 and left[0].startswith('.web.')
    ran = lifeboat('cp', '--json', '--no-mounts', 'web:/', str(tmp_path / 'web'))
    assert ran.status == 0 and json.loads(ran.out.decode())['kept'] >= 5
    compare(dead[0].container('web').tree(), tmp_path / 'web', is_root())
    assert os.listdir(str(tmp_path)) == ['web']


def test_ctrl_c_in_a_single_file_leaves_nothing(dead, lifeboat, tmp_path, monkeypatch):
    monkeypatch.setattr(main, '_end_by', lambda number: None)
    with monkeypatch.context() as during:
        interrupted_after(during, 0)
        lifeboat('cp', 'web:/etc/passwd', str(tmp_path))
    assert os.listdir(str(tmp_path)) == []


def test_what_another_source_left_is_not_taken_for_ours(lifeboat, tmp_path, monkeypatch):
    monkeypatch.setattr(main, '_end_by', lambda number: None)
    with monkeypatch.context() as during:
        interrupted_after(during, 8)
        lifeboat('cp', '--no-mounts', 'web:/', str(tmp_path / 'x'))
    ran = lifeboat('cp', '--json', '--no-mounts', 'db:/', str(tmp_path / 'x'))
    assert ran.status == 0 and json.loads(ran.out.decode())['kept'] == 0


def test_a_full_disk_is_one_sentence_and_nothing_gets_its_name(lifeboat, tmp_path, monkeypatch):
    def full(*dummy):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    monkeypatch.setattr(copying, '_write', full)
    ran = lifeboat('cp', 'web:/etc', str(tmp_path))
    assert ran.status == 2 and 'No space left on device' in ran.err and 'again' in ran.err
    assert not (tmp_path / 'etc').exists()


def test_a_file_that_cannot_be_read_is_named_and_the_rest_is_copied(dead, lifeboat, tmp_path, monkeypatch):
    from ansible_collections.lifeboat.docker.plugins.module_utils.layers import union
    real = union.View.open

    def failing(self, entry):
        if entry.path == b'etc/passwd':
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(self, entry)
    monkeypatch.setattr(union.View, 'open', failing)
    ran = lifeboat('cp', 'web:/etc', str(tmp_path))
    assert ran.status == 1 and 'web:/etc/passwd: Input/output error' in ran.err
    assert not (tmp_path / 'etc' / 'passwd').exists() and (tmp_path / 'etc' / 'group').exists()


def test_pages_that_cannot_be_read_are_zeros_and_told(dead, lifeboat, tmp_path, monkeypatch):
    """sendfile fails, and then pread for one page."""
    def nothing(*dummy):
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    real, size = os.pread, 300000
    target = os.path.join(os.fsdecode(dead[0].volume('spare-0000').path), 'large')
    with open(target, 'wb') as out:
        out.write(b'x' * size)

    def pread(fd, count, offset):
        if offset <= 8192 < offset + count:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(fd, count, offset)
    monkeypatch.setattr(os, 'sendfile', nothing)
    monkeypatch.setattr(os, 'pread', pread)
    try:
        ran = lifeboat('cp', 'volume:spare-0000:/large', str(tmp_path))
        assert ran.status == 1 and '4096 bytes cannot be read and are zeros' in ran.err
        data = (tmp_path / 'large').read_bytes()
        assert data == b'x' * 8192 + bytes(4096) + b'x' * (size - 12288)
        assert os.stat(str(tmp_path / 'large')).st_mtime_ns == os.stat(target).st_mtime_ns
    finally:
        os.unlink(target)


def test_device_nodes_are_left_out_unless_asked_for(lifeboat, tmp_path, root_only):
    host = tmp_path / 'host'
    expected = deadroot.build(str(host / 'var' / 'lib' / 'docker'), containers=1, host_root=str(host), rich=False)
    os.mknod(os.path.join(expected.containers[0].upper, b'null'), stat.S_IFCHR | 0o666, os.makedev(1, 3))
    name = expected.containers[0].name
    ran = lifeboat('cp', name + ':/', str(tmp_path / 'one'), host_root=str(host))
    assert ran.status == 1 and '1 device nodes were left out' in ran.err and not (tmp_path / 'one' / 'null').exists()
    ran = lifeboat('cp', '--devices', name + ':/', str(tmp_path / 'two'), host_root=str(host))
    assert ran.status == 0 and os.stat(str(tmp_path / 'two' / 'null')).st_rdev == os.makedev(1, 3)
    shutil.rmtree(str(host))


@pytest.mark.parametrize('words', [('volume:shop_db:/.',), ('web:/etc', 'web:/srv/uploads', 'volume:shop_db:/README')])
def test_after_ctrl_c_the_same_command_goes_on_into_a_folder_that_exists(dead, lifeboat, tmp_path, monkeypatch, words):
    """Nothing got its name before all was copied, so nothing is in the way of the second run."""
    monkeypatch.setattr(main, '_end_by', lambda number: None)
    (tmp_path / 'mine').write_text('x')
    for count in range(1, 6):
        with monkeypatch.context() as during:
            interrupted_after(during, count)
            lifeboat('cp', *(words + (str(tmp_path),)))
        if len([name for name in os.listdir(str(tmp_path)) if not name.startswith('.')]) > 1:
            break
        assert [name for name in os.listdir(str(tmp_path)) if not name.startswith('.')] == ['mine']
    else:
        assert lifeboat('cp', *(words + (str(tmp_path),))).status == 0
    assert not [name for name in os.listdir(str(tmp_path)) if name.startswith('.')]
    assert (tmp_path / 'README').read_bytes() == dead[0].volume('shop_db').nodes[b'README'].content()


def test_owners_of_a_user_namespace(lifeboat, tmp_path, root_only):
    host = str(tmp_path / 'host')
    expected = deadroot.build(host + '/var/lib/docker', containers=1, host_root=host, userns=(100000, 100000))
    words = ('--data-root', '/var/lib/docker')
    tree = dict(expected.containers[0].tree())
    # no id of the namespace: it stays as it is on the disk
    tree[b'srv/foreign'] = tree[b'srv/foreign']._replace(uid=3100000, gid=3100001)
    assert lifeboat(*(words + ('cp', '--no-mounts', 'web:/', str(tmp_path / 'seen'))), host_root=host).status == 0
    compare(tree, tmp_path / 'seen')
    found = json.loads(lifeboat(*(words + ('--json', 'ls', '--no-mounts', 'web:/')), host_root=host).out.decode())['entries']
    assert {(item['uid'], item['gid']) for item in found if item['path'] == '/etc'} == {(tree[b'etc'].uid, tree[b'etc'].gid)}
    assert lifeboat(*(words + ('cp', '--owner-ids', 'disk', 'web:/etc/passwd', str(tmp_path / 'disk'))), host_root=host).status == 0
    assert os.stat(str(tmp_path / 'disk')).st_uid == 100000 + tree[b'etc/passwd'].uid


def test_what_stands_in_the_way_of_a_file_may_be_of_any_depth(dead, lifeboat, tmp_path, monkeypatch):
    """In the unfinished copy of an earlier run a tree of 1,500 folders lies where a file belongs."""
    monkeypatch.setattr(main, '_end_by', lambda number: None)
    with monkeypatch.context() as during:
        interrupted_after(during, 8)
        lifeboat('cp', '--no-mounts', 'web:/', str(tmp_path / 'web'))
    top = next(base for base, dummy, names in os.walk(str(tmp_path)) for name in names)
    name = next(name for name in os.listdir(top) if os.path.isfile(os.path.join(top, name)))
    os.unlink(os.path.join(top, name))
    fd = os.open(top, os.O_RDONLY)
    for dummy in range(1500):
        os.mkdir(name, dir_fd=fd)
        inner = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)
    assert lifeboat('cp', '--no-mounts', 'web:/', str(tmp_path / 'web')).status == 0
    compare(dead[0].container('web').tree(), tmp_path / 'web', is_root())
