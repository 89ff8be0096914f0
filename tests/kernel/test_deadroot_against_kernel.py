"""What deadroot.py says about its hosts is what the kernel shows when it mounts their layers. Needs root."""
import os
import stat
import subprocess

import deadroot
import layertree
import needs  # noqa: F401  pylint: disable=unused-import
import pytest

FORMS = {
    'as root': ({}, {}),
    'rootless': ({'xattrs': 'user'}, {}),
    'userns-remap': ({'userns': (100000, 200000)}, {}),
    'whiteouts as xattrs': ({}, {'device': False}),
    'rootless, whiteouts as xattrs': ({'xattrs': 'user'}, {'device': False}),
    'no xattrs for overlay': ({}, {'xattr': None}),
}


def shown(mountpoint):
    """{path: (mode, uid, gid, mtime, size or None, xattrs)} of what is mounted."""
    found = {}
    for folder, folders, names in os.walk(mountpoint):
        for path in [os.path.join(folder, name) for name in folders + names]:
            st = os.lstat(path)
            xattrs = {name: os.getxattr(path, name, follow_symlinks=False)
                      for name in os.listxattr(path, follow_symlinks=False) if '.overlay.' not in name}
            size = None if stat.S_ISDIR(st.st_mode) else st.st_size
            found[os.path.relpath(path, mountpoint)] = (st.st_mode, st.st_uid, st.st_gid, st.st_mtime_ns, size, xattrs)
    return found


@pytest.mark.parametrize('store', ['graphdriver', 'containerd'])
@pytest.mark.parametrize('form', sorted(FORMS))
def test_the_kernel_shows_the_expected_tree(tmp_path, monkeypatch, store, form):
    options, lacking = FORMS[form]
    probe = layertree.probe
    monkeypatch.setattr(layertree, 'probe', lambda *given: probe(*given)._replace(**lacking))
    host = deadroot.build(str(tmp_path / 'docker'), containers=6, layers=4, store=store, **options)
    shift = host.userns or (0, 0)
    mountpoint = os.fsencode(str(tmp_path / 'merged'))
    os.mkdir(mountpoint)
    for container in host.containers:
        lower = b':'.join((container.upper, container.init) + container.lowers)
        # everything as a lower layer: nothing is written, not even into the work folder
        subprocess.check_call([b'mount', b'-t', b'overlay', b'overlay', b'-o', b'ro,lowerdir=' + lower +
                               (b',userxattr' if 'xattrs' in options else b''), mountpoint])
        try:
            found = shown(mountpoint)
        finally:
            subprocess.check_call(['umount', mountpoint])
        assert found == {
            path: (node.st_mode, node.uid + shift[0], node.gid + shift[1], node.mtime,
                   None if node.kind == 'dir' else node.size, dict(node.xattrs))
            for path, node in container.tree().items()}
