"""compose.yaml beside the bundles of a host, and what a definition needs to know of its neighbours."""
import contextlib
import json
import os

import deadroot
import pytest
import yaml

from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import hostfiles, reading, source
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.engines.docker import networks
from ansible_collections.lifeboat.docker.plugins.module_utils.rescue import run

WEB, SIDE, HEIR = 'a' * 64, 'b' * 64, 'c' * 64
VOLUME = 'd' * 64


@pytest.fixture(scope='module')
def dead(tmp_path_factory):
    tmp = tmp_path_factory.mktemp('host')
    return deadroot.build(str(tmp / 'var' / 'lib' / 'docker'), containers=4, host_root=str(tmp)), os.fsencode(str(tmp))


def rescue(dead, dest, **options):
    with registry.open_host(dead[1], [b'/var/lib/docker']) as host:
        return run.rescue(host, run.Request(os.fsencode(str(dest)), host_name='box', compression='none', **options))


def load(path):
    with open(str(path), encoding='utf-8') as handle:
        return yaml.safe_load(handle)


def test_whole_host_and_projects(dead, tmp_path):
    result = rescue(dead, tmp_path)
    names = sorted(name for name in os.listdir(str(tmp_path / 'box')) if name.endswith('.yaml'))
    assert 'compose.yaml' in names and len(names) > 1 and result['compose'] == [str(tmp_path / 'box' / name) for name in names]
    whole = load(tmp_path / 'box' / 'compose.yaml')
    assert {item.get('container_name') for item in whole['services'].values()} == {each.name for each in dead[0].containers}
    with_env = [item for item in whole['services'].values() if 'env_file' in item]
    assert with_env and all((tmp_path / 'box' / item['env_file'][0]).is_file() for item in with_env)
    for name in names:
        assert os.stat(str(tmp_path / 'box' / name)).st_mode & 0o777 == 0o600
    for name in names[:-1]:
        project = load(tmp_path / 'box' / name)
        assert name == 'compose-%s.yaml' % project['name'] and set(project['services']) <= set(whole['services'])


def test_a_later_run_of_one_container_leaves_the_others_in(dead, tmp_path):
    first, second = dead[0].containers[0].name, dead[0].containers[1].name
    rescue(dead, tmp_path, containers=(first,))
    assert len(load(tmp_path / 'box' / 'compose.yaml')['services']) == 1
    rescue(dead, tmp_path, containers=(second,))
    assert len(load(tmp_path / 'box' / 'compose.yaml')['services']) == 2
    assert rescue(dead, tmp_path, containers=(second,))['changed'] is False
    os.unlink(str(tmp_path / 'box' / 'compose.yaml'))
    again = rescue(dead, tmp_path, containers=(second,))
    assert again['changed'] is True and again['compose'] == [str(tmp_path / 'box' / 'compose.yaml')]


def test_planted_links_and_files_are_not_followed(dead, tmp_path):
    rescue(dead, tmp_path)
    box = tmp_path / 'box'
    (tmp_path / 'outside').write_text('precious')
    os.unlink(str(box / 'compose.yaml'))
    os.symlink('../outside', str(box / 'compose.yaml'))
    os.symlink('../outside', str(box / 'compose-gone.yaml'))
    os.symlink('/', str(box / 'linked-bundle'))
    hostfiles.refresh(os.fsencode(str(box)))
    assert (tmp_path / 'outside').read_text() == 'precious' and not os.path.islink(str(box / 'compose.yaml'))
    assert not os.path.lexists(str(box / 'compose-gone.yaml'))


@contextlib.contextmanager
def opened(folder, configs):
    """The data root in FOLDER (pathlib) with containers of these records; `Host` in one is its hostconfig.json."""
    for ident, config in configs.items():
        place = folder / 'var/lib/docker/containers' / ident
        place.mkdir(parents=True)
        (place / 'config.v2.json').write_text(json.dumps(dict(config, ID=ident)))
        (place / 'hostconfig.json').write_text(json.dumps(config.get('Host', {})))
    with registry.open_host(os.fsencode(str(folder)), [b'/var/lib/docker']) as host:
        yield host.roots[0]


def mounts(destination):
    return {destination: {'Type': 'volume', 'Name': VOLUME, 'Destination': destination, 'RW': True}}


@pytest.mark.parametrize('reference', ['web', WEB, WEB[:12], 'web:ro'])
def test_shared_volume_is_named_after_its_owner(tmp_path, reference):
    with opened(tmp_path, {WEB: {'Name': '/web', 'MountPoints': mounts('/data')},
                           HEIR: {'Name': '/heir', 'MountPoints': mounts('/data'), 'Host': {'VolumesFrom': [reference]}}}) as root:
        for ident in (WEB, HEIR):
            assert root.neighbours(root.container(ident)).volumes == {VOLUME: 'web-data'}


@pytest.mark.parametrize('chain', [['heir'], ['gone'], ['side', 'web'], 'web', [5, None], {}])
def test_any_volumes_from(tmp_path, chain):
    """Of itself, of a container that is gone, in a circle, of no sensible type."""
    with opened(tmp_path, {WEB: {'Name': '/web', 'MountPoints': mounts('/data')},
                           SIDE: {'Name': '/side', 'MountPoints': {}, 'Host': {'VolumesFrom': ['heir']}},
                           HEIR: {'Name': '/heir', 'MountPoints': mounts('/data'), 'Host': {'VolumesFrom': chain}}}) as root:
        found = root.neighbours(root.container(HEIR)).volumes
    assert found == {VOLUME: 'web-data' if 'web' in chain else 'heir-data'}


def test_networks_and_peers(tmp_path, monkeypatch):
    known = {'one': {'driver': 'bridge'}, 'two': {'driver': 'bridge'}}
    monkeypatch.setattr(networks, 'recorded', lambda root: networks.Recorded(known))
    with opened(tmp_path, {WEB: {'Name': '/web'}, SIDE: {
            'Name': '/side', 'Host': {'NetworkMode': 'container:' + WEB, 'PidMode': 'container:' + HEIR, 'IpcMode': 'shareable'},
            'NetworkSettings': {'Networks': {'one': {}}}}}) as root:
        assert root.neighbours(root.container(SIDE))[:2] == ({'one': known['one']}, {WEB: 'web'})
        assert root.neighbours(root.container(WEB))[:2] == ({}, {})


def test_manifest_says_them(dead, tmp_path):
    rescue(dead, tmp_path)
    for name in os.listdir(str(tmp_path / 'box')):
        path = tmp_path / 'box' / name / 'manifest.json'
        if not path.is_file():
            continue
        manifest = json.loads(path.read_text())
        assert isinstance(manifest['networks'], dict) and isinstance(manifest['peers'], dict)
        for mount in manifest['mounts']:
            assert {'stable_name', 'mode', 'propagation'} <= set(mount)
            assert bool(mount['stable_name']) == (mount['type'] == 'volume' and mount['anonymous'])


def bundles(folder):
    """reading.BundleInfo of each container's bundle."""
    for name in sorted(os.listdir(str(folder))):
        if os.path.isfile(str(folder / name / 'manifest.json')):
            info = reading.inspect_bundle(os.fsencode(str(folder / name)), True)
            assert info.status == reading.VERIFIED
            if info.manifest['kind'] == 'container':
                yield info


def test_a_bundle_of_version_1_gives_the_same_definition(dead, tmp_path):
    rescue(dead, tmp_path)
    seen = 0
    for info in bundles(tmp_path / 'box'):
        assert (info.manifest['schema_version'], info.manifest['engine'], info.manifest['pod']) == (2, 'docker', None)
        new = source.of_info(info)
        old = source.of_info(info._replace(manifest={key: value for key, value in dict(info.manifest, schema_version=1).items()
                                                     if key not in ('engine', 'pod', 'definition')}))
        names = source.volume_names(new, {}, new.name)
        assert names == source.volume_names(old, {}, old.name)
        assert source.define(new, 'image:1', new.defaults, 'web', names) == source.define(old, 'image:1', old.defaults, 'web', names)
        assert new.definition.env and not new.definition.lost_process
        seen += 1
    assert seen > 1


def test_the_manifest_has_the_definition_without_secrets(dead, tmp_path):
    rescue(dead, tmp_path)
    for info in bundles(tmp_path / 'box'):
        said = info.manifest['definition']
        assert said['name'] == info.manifest['container']['name'] and said['id'] == info.manifest['container']['id']
        whole = json.loads(reading.read_file(info, b'config/definition.json').decode())
        assert said['env'] and all(item.endswith('=VALUE_REDACTED') for item in said['env'])
        assert [item.split('=')[0] for item in said['env']] == [item.split('=')[0] for item in whole['env']]
        assert not any(item.endswith('=VALUE_REDACTED') for item in whole['env'])


def test_without_config_a_bundle_has_no_definition(dead, tmp_path):
    rescue(dead, tmp_path, include=('volumes', 'writable'))
    for info in bundles(tmp_path / 'box'):
        assert info.manifest['definition'] is None and b'config/definition.json' not in info.sums
        assert source.of_info(info).definition.lost_process
