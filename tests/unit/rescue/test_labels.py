"""Labels of SELinux, set by root on a file system that takes them: the archives of a rescue have them to the byte."""
import os
import tarfile

import deadroot
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.rescue import run as rescues

NAME = 'SCHILY.xattr.security.selinux'
LABEL = 'system_u:object_r:container_file_t:s0:c%d,c1023\0'


def labelled(folder):
    """Give each file, folder and link below FOLDER a label of its own -> {path relative to FOLDER: label}."""
    paths = [os.path.join(where, name) for where, folders, names in os.walk(folder) for name in sorted(folders + names)]
    for number, path in enumerate(paths):
        os.setxattr(path, 'security.selinux', (LABEL % number).encode(), follow_symlinks=False)
    # two names of one file have one label
    return {os.path.relpath(path, folder): os.getxattr(path, 'security.selinux', follow_symlinks=False).decode() for path in paths}


def labels(bundle, name):
    """{path: label} of an archive of a bundle; a further name of a file has the label of the first."""
    part, = [each for each in bundle['components'] if each['name'] == name]
    found = {}
    with tarfile.open(os.path.join(bundle['path'], part['file'])) as archive:
        for member in archive:
            label = found.get(member.linkname) if member.islnk() else member.pax_headers.get(NAME)
            if member.name.strip('/') != '.':
                found[member.name] = label
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can set labels')
def test_labels_are_in_every_archive_of_a_rescue(tmp_path):
    root = tmp_path / 'dead' / 'var/lib/docker'
    deadroot.build(str(root), host_root=str(tmp_path / 'dead'), containers=1, images=1, orphan_volumes=1, rich=False)
    try:
        of_volume = labelled(str(root / 'volumes' / 'spare-0000' / '_data'))
    except OSError as why:
        pytest.skip('this file system or kernel takes no labels: %s' % why)
    mount_id, = [each.read_text() for each in (root / 'image/overlay2/layerdb/mounts').rglob('mount-id')]
    upper = root / 'overlay2' / mount_id
    of_layer = labelled(str(upper / 'diff'))
    assert of_volume and len(of_layer) > 3
    with registry.open_host(os.fsencode(str(tmp_path / 'dead'))) as host:
        result = rescues.rescue(host, rescues.Request(os.fsencode(str(tmp_path / 'out')), host_name='dead', compression='none', volumes=('*',),
                                                      include=('config', 'writable', 'rootfs', 'volumes', 'image', 'logs')))
    bundles = {each['kind']: each for each in result['bundles']}
    assert labels(bundles['volume'], 'volume:spare-0000') == of_volume
    written = labels(bundles['container'], 'writable')
    assert {path: written.get(path) for path in of_layer} == of_layer
    whole = labels(bundles['container'], 'rootfs')
    shown = {path: label for path, label in of_layer.items() if path in whole}       # without whiteouts
    assert len(shown) > 3 and {path: whole[path] for path in shown} == shown
