"""Where mounts lie: hints in records, other hosts' paths, links of administrators and links of containers."""
import hashlib
import json
import os

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry

CID, OTHER = 'c' * 64, 'e' * 64


def container(root, ident, points, hostconfig=None, **more):
    folder = root / 'containers' / ident
    folder.mkdir(parents=True)
    config = {'ID': ident, 'Name': '/n' + ident[:3], 'Driver': 'overlay2', 'Config': {}, 'State': {}, 'MountPoints': points}
    config.update(more)
    (folder / 'config.v2.json').write_text(json.dumps(config))
    (folder / 'hostconfig.json').write_text(json.dumps(hostconfig or {}))


def bind(source, rw=True):
    return {'Type': 'bind', 'Source': source, 'Destination': '/x', 'RW': rw}


@pytest.fixture
def host(tmp_path):
    root = tmp_path / 'host' / 'var' / 'lib' / 'docker'
    root.mkdir(parents=True)
    return tmp_path / 'host', root


def mount_of(host, ident=CID):
    with registry.open_host(os.fsencode(str(host[0])), [b'/var/lib/docker']) as opened:
        found = opened.roots[0].container(ident)
        return found.mounts[0], [item.code for item in found.problems]


def test_a_link_of_the_administrator_is_followed_inside_the_host(host):
    (host[0] / 'srv').mkdir()
    (host[0] / 'data').mkdir()
    (host[0] / 'srv' / 'shop').symlink_to('/data')
    container(host[1], CID, {'/x': bind('/srv/shop')})
    mount, codes = mount_of(host)
    assert mount.path == os.fsencode(str(host[0] / 'data')) and mount.status == 'complete'


@pytest.mark.parametrize('target', ['/etc', '../../etc', '/srv/a/other', '../../../../../../etc'])
def test_a_link_that_a_container_could_plant_is_not(host, target):
    (host[0] / 'etc').mkdir()
    (host[0] / 'srv' / 'a' / 'other').mkdir(parents=True)
    (host[0] / 'srv' / 'a' / 'sub').symlink_to(target)
    container(host[1], OTHER, {'/x': bind('/srv/a')})
    container(host[1], CID, {'/x': bind('/srv/a/sub')})
    mount, codes = mount_of(host)
    assert mount.path is None and mount.status == 'lost' and 'BIND_THROUGH_LINK' in codes


def test_read_only_binds_cannot_plant(host):
    (host[0] / 'data').mkdir()
    (host[0] / 'srv' / 'a').mkdir(parents=True)
    (host[0] / 'srv' / 'a' / 'sub').symlink_to('/data')
    container(host[1], OTHER, {'/x': bind('/srv/a', rw=False)})
    container(host[1], CID, {'/x': bind('/srv/a/sub')})
    assert mount_of(host)[0].path == os.fsencode(str(host[0] / 'data'))


def test_a_volume_that_is_a_link_is_not_followed(host):
    (host[0] / 'etc').mkdir()
    (host[1] / 'volumes' / 'v').mkdir(parents=True)
    (host[1] / 'volumes' / 'v' / '_data').symlink_to('/etc')
    container(host[1], CID, {'/x': {'Type': 'volume', 'Name': 'v', 'Driver': 'local', 'Destination': '/x', 'RW': True}})
    mount, codes = mount_of(host)
    assert mount.status == 'partial' and 'VOLUME_IS_LINK' in codes
    assert os.path.islink(mount.path)


def test_paths_below_the_old_data_root_move_with_it(host):
    (host[1] / 'shared').mkdir()
    container(host[1], CID, {'/x': bind('/old/docker/shared')}, HostnamePath='/old/docker/containers/%s/hostname' % CID)
    mount, dummy = mount_of(host)
    assert mount.path == os.fsencode(str(host[1] / 'shared'))


@pytest.mark.parametrize('recorded', ['/var/lib/docker', '/old/docker'])
@pytest.mark.parametrize('link', ['leak', 'leak/sub'])
def test_a_link_in_a_volume_leads_no_bind_out_of_the_disk(host, tmp_path, recorded, link):
    (tmp_path / 'outside' / 'sub').mkdir(parents=True)
    (host[1] / 'volumes' / 'v' / '_data').mkdir(parents=True)
    (host[1] / 'volumes' / 'v' / '_data' / 'leak').symlink_to(tmp_path / 'outside')
    (host[0] / str(tmp_path)[1:] / 'outside' / 'sub').mkdir(parents=True)
    container(host[1], CID, {'/x': bind('%s/volumes/v/_data/%s' % (recorded, link))},
              HostnamePath='%s/containers/%s/hostname' % (recorded, CID))
    mount, codes = mount_of(host)
    assert mount.path is None and mount.status == 'lost' and 'BIND_THROUGH_LINK' in codes


def test_dots_lead_no_bind_out_of_the_disk(host, tmp_path):
    (tmp_path / 'outside').mkdir()
    container(host[1], CID, {'/x': bind('/old/docker' + 4 * '/..' + '/outside')},
              HostnamePath='/old/docker/containers/%s/hostname' % CID)
    mount, dummy = mount_of(host)
    assert mount.path is None and mount.status == 'lost'


def test_a_link_of_the_administrator_in_a_data_root_that_moved_is_followed(host):
    (host[0] / 'big' / 'shared' / 'a').mkdir(parents=True)
    (host[1] / 'shared').symlink_to('/big/shared')
    container(host[1], CID, {'/x': bind('/old/docker/shared/a')}, HostnamePath='/old/docker/containers/%s/hostname' % CID)
    mount, dummy = mount_of(host)
    assert mount.path == os.fsencode(str(host[0] / 'big' / 'shared' / 'a')) and mount.status == 'complete'


def test_missing_and_ephemeral_binds(host):
    container(host[1], CID, {'/x': bind('/srv/gone')})
    container(host[1], OTHER, {'/x': bind('/var/run/docker.sock')})
    mount, codes = mount_of(host)
    assert (mount.path, mount.status) == (None, 'lost') and 'BIND_MISSING' in codes
    mount, codes = mount_of(host, OTHER)
    assert mount.path is None and 'BIND_MISSING' not in codes


def test_nfs_volume_is_not_an_empty_success(host):
    (host[1] / 'volumes' / 'v' / '_data').mkdir(parents=True)
    (host[1] / 'volumes' / 'v' / 'opts.json').write_text(json.dumps(
        {'MountType': 'nfs', 'MountOpts': 'addr=10.0.0.1,password=hunter2', 'MountDevice': ':/export'}))
    container(host[1], CID, {'/x': {'Type': 'volume', 'Name': 'v', 'Driver': 'local', 'Destination': '/x', 'RW': True}})
    mount, codes = mount_of(host)
    assert mount.status == 'lost' and mount.path is None and 'VOLUME_NOT_ON_DISK' in codes
    from ansible_collections.lifeboat.docker.plugins.module_utils.facts import gather as facts
    with registry.open_host(os.fsencode(str(host[0])), [b'/var/lib/docker']) as opened:
        said = json.dumps(facts.gather(opened, facts.Options()))
    assert 'hunter2' not in said and ':/export' in said


@pytest.mark.parametrize('lost', [None, {}])
def test_mount_points_from_hostconfig(host, lost):
    (host[1] / 'volumes' / 'v' / '_data').mkdir(parents=True)
    container(host[1], CID, lost, {'Binds': ['v:/x:ro']}, ID='' if lost == {} else CID)
    mount, dummy = mount_of(host)
    assert (mount.type, mount.name, mount.destination, mount.rw) == ('volume', 'v', '/x', False)


@pytest.mark.parametrize('known', [True, False])
def test_the_mount_of_an_image_has_its_name(host, known):
    """As dockerd 28.5 writes it; its data are those of the image, which has no folder of its own here."""
    config = json.dumps({'architecture': 'amd64', 'os': 'linux', 'config': {}, 'rootfs': {'type': 'layers', 'diff_ids': []}})
    ident = hashlib.sha256(config.encode()).hexdigest()
    if known:
        folder = host[1] / 'image/overlay2/imagedb/content/sha256'
        folder.mkdir(parents=True)
        (host[1] / 'image/overlay2/layerdb').mkdir()
        (folder / ident).write_text(config)
    container(host[1], CID, {'/img': {
        'Type': 'image', 'Name': 'shop/tools:1', 'Driver': '', 'RW': False, 'Destination': '/img',
        'Source': '/var/lib/docker/overlay2/%s/merged' % ('f' * 64), 'ID': CID + '-shop/tools:1', 'Propagation': 'rprivate',
        'Spec': {'Type': 'image', 'Source': 'sha256:' + ident, 'Target': '/img', 'ImageOptions': {'Subpath': 'bin'}}}})
    mount, codes = mount_of(host)
    assert (mount.type, mount.name, mount.path, mount.rw, mount.subpath) == ('image', 'shop/tools:1', None, False, 'bin')
    assert mount.status == ('complete' if known else 'lost')
