"""Data roots of appliances and virtual machines are found with nothing but host_root, and nothing else is taken for one."""
import os
import shutil
import time

import deadroot
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.disk.host import HostRoot
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.engines.docker import discovery
from ansible_collections.lifeboat.docker.plugins.module_utils.engines.docker.finding import layouts

# product: where its data root lies on the disk, and a file that a full system has beside it ('' for a data disk)
LAYOUTS = {
    'Synology': ('volume1/@docker', 'etc/passwd'),
    'Synology, older': ('volume2/docker', 'etc/passwd'),
    'QNAP': ('share/CACHEDEV1_DATA/Container/container-station-data/lib/docker', 'etc/passwd'),
    'QNAP, data disk': ('Container/container-station-data/lib/docker', ''),
    'TrueNAS SCALE, ix-applications': ('mnt/tank/ix-applications/docker', 'etc/passwd'),
    'TrueNAS SCALE, ix-apps': ('mnt/.ix-apps/docker', 'etc/passwd'),
    'Unraid, folder': ('mnt/cache/system/docker/docker', 'etc/passwd'),
    'Unraid, docker.img': ('', ''),
    'Home Assistant OS, data partition': ('docker', ''),
    'Home Assistant OS, full disk': ('mnt/data/docker', 'etc/passwd'),
    'openmediavault': ('srv/dev-disk-by-uuid-0a1b/docker', 'etc/passwd'),
    'CasaOS': ('DATA/docker', 'etc/passwd'),
    'WSL2': ('data/docker', ''),
    'Docker Desktop, older': ('version-pack-data/community/docker', ''),
    'Docker Desktop, Docker.raw': ('docker', ''),
    'Colima, data disk': ('mnt/lima-colima/docker', 'etc/passwd'),
    'RancherOS': ('var/lib/system-docker', 'etc/passwd'),
    'balenaOS': ('mnt/data/docker', 'etc/passwd'),
    'balena-engine': ('var/lib/balena-engine', 'etc/passwd'),
    'Proxmox, subvolume': ('rpool/data/subvol-101-disk-0/var/lib/docker', 'etc/passwd'),
    'LXC': ('var/lib/lxc/101/rootfs/var/lib/docker', 'etc/passwd'),
    'LXD': ('var/lib/lxd/storage-pools/default/containers/c1/rootfs/var/lib/docker', 'etc/passwd'),
    'LXD, snap': ('var/snap/lxd/common/lxd/storage-pools/default/containers/c1/rootfs/var/lib/docker', 'etc/passwd'),
    'Incus': ('var/lib/incus/storage-pools/default/containers/c1/rootfs/var/lib/docker', 'etc/passwd'),
    'LXD, volume of one container': ('rootfs/var/lib/docker', ''),
    'sysbox': ('var/lib/sysbox/docker/0123abcd', 'etc/passwd'),
    'snap': ('var/snap/docker/common/var-lib-docker', 'etc/passwd'),
    'by content alone': ('pool/apps/data/engine', 'etc/passwd'),
}


def build(tmp_path, place):
    root = tmp_path / 'dead'
    deadroot.build(str(root / place) if place else str(root), host_root=str(root), containers=2)
    return root


def roots(root):
    return [found for found in discovery.find_roots(HostRoot(os.fsencode(str(root))), []).roots if found.score > 1]


@pytest.mark.parametrize('product', sorted(LAYOUTS))
def test_a_bare_layout_is_found(product, tmp_path):
    place, beside = LAYOUTS[product]
    root = build(tmp_path, place)
    if beside:
        (root / beside).parent.mkdir(parents=True, exist_ok=True)
        (root / beside).write_text('root:x:0:0::/root:/bin/sh\n')
    found = roots(root)
    assert [(os.fsdecode(each.path), each.containers) for each in found] == [(str(root / place).rstrip('/'), 2)]


@pytest.mark.parametrize('name', ['daemon.json.bak', 'daemon.json_bak', 'daemon.json~', 'daemon.json.dpkg-old', 'daemon.json.save'])
def test_a_copy_of_daemon_json_names_the_root(name, tmp_path):
    root = build(tmp_path, 'x/y/z/a/b/c/docker')        # too deep to be found by itself
    (root / 'etc/docker').mkdir(parents=True)
    (root / 'etc/docker' / name).write_text('{"data-root": "/x/y/z/a/b/c/docker"}')
    assert [each.containers for each in roots(root)] == [2]


def test_settings_of_synology_name_the_root(tmp_path):
    root = build(tmp_path, 'x/y/z/a/b/c/docker')
    (root / 'var/packages/ContainerManager/etc').mkdir(parents=True)
    (root / 'var/packages/ContainerManager/etc/dockerd.json').write_text('{"data-root": "/x/y/z/a/b/c/docker"}')
    assert [each.containers for each in roots(root)] == [2]


def test_folders_that_only_have_the_name_are_no_roots(tmp_path):
    """An ordinary host: shares called docker with compose files and data of applications, and /var/lib/docker."""
    root = build(tmp_path, 'var/lib/docker')
    for place in ('volume1/docker/shop/data', 'srv/docker/containers/web', 'mnt/usb/docker/image', 'docker/volumes/one', 'home/me/docker/overlay2',
                  'media/usb/docker/containers'):
        (root / place).mkdir(parents=True)
    (root / 'etc/docker').mkdir(parents=True)
    (root / 'etc/docker/daemon.json.bak').write_text('{"data-root": "/srv/docker"}')
    found = discovery.find_roots(HostRoot(os.fsencode(str(root))), [])
    assert [os.fsdecode(each.path) for each in found.roots] == [str(root / 'var/lib/docker')]
    assert not [each for each in found.problems if 'srv/docker' in each.object or 'volume1' in each.object]


FRESH = ('containers', 'buildkit', 'image/overlay2/layerdb', 'network/files', 'overlay2/l', 'plugins', 'swarm', 'tmp', 'volumes')


@pytest.mark.parametrize('fresh', ['var/lib/docker', 'volume1/@docker', 'mnt/data/docker'])
@pytest.mark.parametrize('place', ['var/lib/docker.old', 'pool/apps/data/engine', 'backup'])
def test_a_root_that_is_still_empty_does_not_hide_the_old_one(fresh, place, tmp_path):
    """Docker was installed again, or started without its disk: it made a new root, the data lie where they always lay."""
    root = build(tmp_path, place)
    for name in FRESH:
        (root / fresh / name).mkdir(parents=True)
    (root / 'etc').mkdir()
    (root / 'etc/passwd').write_text('root:x:0:0::/root:/bin/sh\n')
    assert [os.fsdecode(each.path) for each in roots(root)] == [str(root / place)]


@pytest.mark.parametrize('beside', ['etc/passwd', ''])
@pytest.mark.parametrize('folder', ['', 'srv/docker', 'opt/lab/stacks'])
def test_folders_of_people_with_all_the_names_are_no_root(folder, beside, tmp_path):
    root = build(tmp_path, 'data/docker')
    for name in ('containers/web/data', 'volumes/shop', 'image/raw', 'swarm/stacks', 'network/dns', 'overlay2', 'plugins', 'buildkit'):
        (root / folder / name).mkdir(parents=True)
    if beside:
        (root / 'etc').mkdir()
        (root / beside).write_text('root:x:0:0::/root:/bin/sh\n')
    found = discovery.find_roots(HostRoot(os.fsencode(str(root))), [])
    assert [os.fsdecode(each.path) for each in found.roots] == [str(root / 'data/docker')]


def test_a_root_with_a_telling_name_is_found_before_the_search_ends(tmp_path, monkeypatch):
    root = build(tmp_path, 'z/backup/old-docker/root')
    for one in range(20):
        for two in range(20):
            (root / ('%d/%d/x' % (one, two))).mkdir(parents=True)
    monkeypatch.setattr(layouts, 'MAX_FOLDERS', 430)
    assert [os.fsdecode(each.path) for each in roots(root)] == [str(root / 'z/backup/old-docker/root')]


def test_a_disk_with_many_folders_and_no_root_ends_soon(tmp_path, monkeypatch):
    root = tmp_path / 'dead'
    for one in range(20):
        for two in range(20):
            (root / ('%d/%d/x/y/z' % (one, two))).mkdir(parents=True)
    os.symlink('.', str(root / 'loop'))
    monkeypatch.setattr(layouts, 'MAX_FOLDERS', 100)
    began = time.time()
    found = discovery.find_roots(HostRoot(os.fsencode(str(root))), [])
    assert time.time() - began < 5 and not found.roots
    assert [each.code for each in found.problems if each.severity == 'critical']


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can give files away')
@pytest.mark.parametrize('place, given', [('var/lib/lxc/101/rootfs', ''), ('', ''), ('var/lib/lxc/101/rootfs', 'var/lib/lxc/101/rootfs')])
def test_owners_in_an_unprivileged_instance_are_those_that_it_saw(place, given, tmp_path):
    """LXC, LXD, Incus: all ids of the root file system are shifted. On the host's disk, on one of its own, as host_root."""
    root = build(tmp_path, os.path.join(place, 'var/lib/docker'))
    instance = str(root / place) if place else str(root)
    for folder in sorted({instance, str(root)}):
        os.makedirs(os.path.join(folder, 'etc'), exist_ok=True)
        with open(os.path.join(folder, 'etc/passwd'), 'w', encoding='utf-8') as out:
            out.write('root:x:0:0::/root:/bin/sh\n')
    if place and not given:
        for name in ('subuid', 'subgid'):
            (root / 'etc' / name).write_text('alice:200000:65536\nroot:100000:65536\n')
    before = {}
    for where, folders, files in os.walk(instance):
        for name in ['.'] + folders + files:
            path = os.path.join(where, name)
            st = os.lstat(path)
            before.setdefault(path, (st.st_uid, st.st_gid))
    for path, (uid, gid) in before.items():
        os.lchown(path, 100000 + uid, 100000 + gid)
    with registry.open_host(os.fsencode(str(root / given))) as host:
        inventory, = host.roots
        assert inventory.idmap is not None
        assert {inventory.idmap.to_container(100000 + uid, 100000 + gid) == (uid, gid) for uid, gid in before.values()
                if max(uid, gid) < 65536} == {True}
        assert inventory.idmap.assumed == (not place or bool(given))


def test_the_live_host_is_not_searched(monkeypatch):
    monkeypatch.setattr(layouts, 'searched', lambda scan: pytest.fail('searched the live host'))
    discovery.find_roots(HostRoot(b'/'), [])


def copied(root, source, target):
    (root / target).parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(str(root / source), str(root / target), symlinks=True, ignore=shutil.ignore_patterns('diff'))


@pytest.mark.parametrize('place', ['mnt/backup/docker', 'volume1/docker', 'srv/nas/docker'])
@pytest.mark.parametrize('real', ['var/lib/docker', 'big/data'])
def test_a_copy_of_the_root_in_a_known_place_is_named_and_not_taken(place, real, tmp_path):
    root = build(tmp_path, real)
    (root / 'etc/docker').mkdir(parents=True)
    (root / 'etc/docker/daemon.json').write_text('{"data-root": "/%s"}' % real if real == 'big/data' else '{}')
    copied(root, real, place)
    found = discovery.find_roots(HostRoot(os.fsencode(str(root))), [])
    assert [os.fsdecode(each.path) for each in found.roots] == [str(root / real)]
    said, = [each for each in found.problems if each.code == 'DATA_ROOT_COPY']
    assert said.object == str(root / place) and 'data_roots' in said.next_step
    # whoever wants the copy gets it
    assert len(discovery.find_roots(HostRoot(os.fsencode(str(root))), [os.fsencode('/' + place)]).roots) == 1


def test_a_copy_that_has_more_than_the_root_says_so(tmp_path):
    root = build(tmp_path, 'var/lib/docker')
    copied(root, 'var/lib/docker', 'mnt/backup/docker')
    (root / 'mnt/backup/docker/containers' / ('f' * 64)).mkdir()
    found = discovery.find_roots(HostRoot(os.fsencode(str(root))), [])
    assert [os.fsdecode(each.path) for each in found.roots] == [str(root / 'var/lib/docker')]
    said, = [each for each in found.problems if each.code == 'DATA_ROOT_COPY']
    assert '1 container ' in said.message and said.severity == 'warning'


def test_the_old_root_that_was_copied_to_a_larger_disk_is_not_taken_as_well(tmp_path):
    """data-root was changed after the folder had been copied, and the old one was never deleted."""
    root = build(tmp_path, 'big/data')
    copied(root, 'big/data', 'var/lib/docker')
    (root / 'etc/docker').mkdir(parents=True)
    (root / 'etc/docker/daemon.json').write_text('{"data-root": "/big/data"}')
    assert [os.fsdecode(each.path) for each in roots(root)] == [str(root / 'big/data')]
    # unless it has what the new one lacks
    (root / 'var/lib/docker/containers' / ('f' * 64)).mkdir()
    assert len(roots(root)) == 2


def test_of_two_copies_that_nothing_names_the_newer_is_taken(tmp_path):
    root = build(tmp_path, 'volume1/docker')
    copied(root, 'volume1/docker', 'volume2/docker')
    for folder in (root / 'volume1/docker/containers').iterdir():
        os.utime(str(folder), (1, 1))
    assert [os.fsdecode(each.path) for each in roots(root)] == [str(root / 'volume2/docker')]


def test_two_roots_with_containers_of_their_own_are_both_taken(tmp_path):
    root = build(tmp_path, 'volume1/docker')
    deadroot.build(str(root / 'volume2/@docker'), host_root=str(root / 'volume2'), containers=1, seed='other')
    assert sorted(os.fsdecode(each.path) for each in roots(root)) == [str(root / 'volume1/docker'), str(root / 'volume2/@docker')]
