"""What a restore plans on an engine, and what it refuses before anything is done."""
import json
import os

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import source as sources
from ansible_collections.lifeboat.docker.plugins.module_utils.restore import (
    engine as engines,
    plan as planning,
    volumes,
)
from ansible_collections.lifeboat.docker.tests.unit.restore.bundles import ROOT, make_bundle, member, tar_bytes

CID = 'c' * 64
OWN = {'uid': os.geteuid(), 'gid': os.getegid()}


class Engine(object):
    """An engine with the image `base`, whose volumes lie below FOLDER."""
    docker_host = 'unix:///s'
    api = (1, 41)
    podman = False
    version = {'Os': 'linux', 'Arch': 'amd64'}

    def __init__(self, folder):
        self.folder = str(folder)
        self.volumes = {}
        self.made = None
        self.existing = None

    def peer(self):
        return None

    def image(self, reference):
        return {'Id': 'sha256:1', 'Os': 'linux', 'Architecture': 'amd64', 'Config': {}} if reference == 'base' else None

    def container(self, dummy):
        return self.existing

    def containers(self, dummy=None):
        return []

    def network(self, dummy):
        return None

    def volume(self, name):
        return self.volumes.get(name)

    def create_volume(self, name, driver='local', options=None, labels=None):
        place = os.path.join(self.folder, name, '_data')
        os.makedirs(place)
        self.volumes[name] = {'Name': name, 'Driver': driver, 'Options': options, 'Labels': labels, 'Mountpoint': place}
        return self.volumes[name]

    def remove(self, path, *dummy):
        self.volumes.pop(path.rsplit('/', 1)[1])

    def request(self, *dummy):
        return {'Volumes': list(self.volumes.values())}

    def create_container(self, dummy, body):
        self.made = body
        return CID, []

    def exists(self, *dummy):
        return False


@pytest.fixture(autouse=True)
def as_root(monkeypatch):
    monkeypatch.setattr(os, 'geteuid', lambda: 0)


@pytest.fixture
def engine(tmp_path):
    made = Engine(tmp_path / 'volumes')
    made.create_volume('other')         # so that check mode can tell where the volumes are
    return made


def bundle(folder, host=None, mounts=(), files=None, binds=(), **config):
    """A bundle of the container web; MOUNTS as the manifest lists them, BINDS: (number, source) of those with data."""
    files = dict(files or {})
    files.update({'config/config.v2.json': json.dumps({'ID': CID, 'Name': '/web', 'Config': {'Image': 'base'}, 'State': config.pop(
        'state', {})}).encode(), 'config/hostconfig.json': json.dumps(host or {'NetworkMode': 'none'}).encode()})
    for number, dummy in binds:
        files.setdefault('binds/%s.tar' % number, tar_bytes([ROOT, member('./f', b'x')]))
    path = make_bundle(os.path.join(str(folder), 'bundle'), files, {'container': {'name': 'web', 'id': CID}, 'mounts': list(mounts)},
                       'container')
    if binds:
        name = os.path.join(os.fsdecode(path), 'manifest.json')
        with open(name) as handle:
            manifest = json.load(handle)
        for item in manifest['components']:
            for number, source in binds:
                if item['name'] == 'bind:' + number:
                    item.update(source=source, destination='/d')
        files['manifest.json'] = json.dumps(manifest).encode()
        path = make_bundle(os.path.join(str(folder), 'bundle'), files, {}, 'container')
    return path


def plan(engine, path, **options):
    """(Plan, Situation)."""
    options = planning.Options(path=path, image='base', **options)
    return engines.make_plan(options, sources.read(path), engine, {}, volumes.Volumes(engine, {}, True))


def volume(name='vol', **more):
    return dict({'type': 'volume', 'name': name, 'destination': '/' + name, 'driver': 'local', 'status': 'complete'}, **more)


@pytest.mark.parametrize('check', [True, False])
def test_what_reaches_the_host_is_refused_unless_it_is_allowed(check, engine, tmp_path):
    path = bundle(tmp_path, {'NetworkMode': 'host', 'Privileged': True, 'Binds': ['/:/host:ro', '/var/run/docker.sock:/s']})
    refused = ' '.join(plan(engine, path, check=check)[0].refusals)
    for words in ('web', '--privileged', '/:/host:ro', 'docker.sock', '--network host',
                  'allow: [privileged, host_namespaces, host_paths, docker_socket]'):
        assert words in refused
    some = ' '.join(plan(engine, path, check=check, allow=('privileged', 'host_paths'))[0].refusals)
    assert '--network host' in some and '--privileged' not in some
    made, dummy = plan(engine, path, check=check, allow=('privileged', 'host_namespaces', 'host_paths', 'docker_socket'))
    assert made.refusals == [] and any('--privileged' in note for note in made.notes)
    assert [ask['kind'] for ask in made.result['asks']] == ['privileged', 'host_namespaces', 'host_paths', 'docker_socket']


def test_an_ordinary_container_asks_for_nothing(engine, tmp_path):
    made = plan(engine, bundle(tmp_path, {'NetworkMode': 'none', 'Binds': ['vol:/vol', '/srv/x:/x']}, [volume()]))[0]
    assert made.refusals == [] and made.result['asks'] == []


def test_volume_that_leads_to_a_folder_of_the_host(engine, tmp_path):
    outside = tmp_path / 'outside'
    outside.mkdir()
    options = {'type': 'none', 'o': 'bind', 'device': str(outside)}
    for folder, kind, mounts in (('one', 'container', [volume(options=options)]), ('two', 'volume', [])):
        path = bundle(tmp_path / folder, None, mounts, {'volumes/vol.tar': tar_bytes([ROOT, member('./f', b'x')])}) if mounts else \
            make_bundle(str(tmp_path / folder), {'volumes/vol.tar': tar_bytes([ROOT])},
                        {'volume': {'name': 'vol', 'driver': 'local', 'options': options}})
        refused = ' '.join(plan(engine, path)[0].refusals)
        assert 'allow: [volume_devices]' in refused and 'device=%s' % outside in refused, kind
        made = plan(engine, path, allow=('volume_devices',))[0]
        assert made.refusals == [] and made.changes()
        (outside / 'precious').write_text('x')
        for force in (False, True):
            assert 'there is something in it' in ' '.join(plan(engine, path, allow=('volume_devices',), force=force)[0].refusals)
        (outside / 'precious').unlink()


def test_volume_that_is_asked_for_by_no_mount_of_the_container(engine, tmp_path):
    """The options of a volume come from any entry of the manifest; a refusal must not get lost between two lists."""
    path = bundle(tmp_path, None, [dict(volume(), type='bind', options={'o': 'bind', 'device': '/etc'})],
                  {'volumes/vol.tar': tar_bytes([ROOT])})
    assert 'allow: [volume_devices]' in ' '.join(plan(engine, path)[0].refusals)


def test_volumes_without_data_are_made_as_they_were(engine, tmp_path):
    options = {'type': 'nfs', 'device': ':/export', 'o': 'addr=10.0.0.1'}
    path = bundle(tmp_path, {'NetworkMode': 'none', 'Binds': ['nfs:/nfs', 'gone:/gone', 'there:/there']}, [
        volume('nfs', options=options, labels={'a': 'b'}), volume('gone', status='lost', labels={'c': 'd'}), volume('there')])
    engine.create_volume('there')
    made = plan(engine, path)[0]
    assert made.refusals == []
    for step in made.steps:
        if step.kind == 'volume' and step.do:
            step.do([])
    assert (engine.volumes['nfs']['Options'], engine.volumes['nfs']['Labels']) == (options, {'a': 'b'})
    assert (engine.volumes['gone']['Options'], engine.volumes['gone']['Labels']) == ({}, {'c': 'd'})
    said = ' '.join(made.notes)
    assert 'gone (lost): it will be empty' in said and 'nfs (complete): its data are where' in said and 'there (complete): it stays' in said
    # alone, only what is more than an empty folder
    engine.volumes.pop('nfs'), engine.volumes.pop('gone')
    assert [step.name for step in plan(engine, path, restore=('volumes',))[0].steps] == ['nfs']


def test_volume_of_a_driver_that_is_not_there(engine, tmp_path):
    path = bundle(tmp_path, {'NetworkMode': 'none', 'Binds': ['far:/far']}, [volume('far', driver='rexray', options={'size': '5'})])
    options = planning.Options(path=path, image='base')
    made = engines.make_plan(options, sources.read(path), engine, {'Plugins': {'Volume': ['local']}}, volumes.Volumes(engine, {}, True))[0]
    assert 'driver rexray' in ' '.join(made.refusals)


def test_folders_of_the_host_come_back_by_default(engine, tmp_path):
    place = str(tmp_path / 'srv' / 'shop')
    path = bundle(tmp_path, {'NetworkMode': 'none', 'Binds': [place + ':/d']}, [
        {'type': 'bind', 'source': place, 'destination': '/d'}], binds=[('00-shop', place)])
    made = plan(engine, path)[0]
    assert [(step.kind, step.name, step.action) for step in made.steps] == [('folder', place, 'create'), ('container', 'web', 'create')]
    os.makedirs(place)
    with open(place + '/precious', 'w') as handle:
        handle.write('x')
    assert 'not empty' in ' '.join(plan(engine, path)[0].refusals)
    assert plan(engine, path, force=True)[0].steps[0].action == 'replace'
    # who leaves them out is told before anything is done
    os.unlink(place + '/precious'), os.rmdir(place)
    made = plan(engine, path, restore=('image', 'volumes', 'container'))[0]
    assert any('the bundle has it' in note for note in made.notes)


def same_host(tmp_path, raw=None):
    """(bundle of a container with one bind, its folder as it is on the same host)."""
    place = tmp_path / 'srv' / 'shop'
    (place / 'd').mkdir(parents=True)
    (place / 'f').write_bytes(b'x')
    (place / 'd' / 'g').write_bytes(b'yy')
    for name, mode in (('', 0o755), ('d', 0o755), ('f', 0o644), ('d/g', 0o644)):
        os.chmod(str(place / name), mode)
    raw = raw or tar_bytes([member('./', **OWN), member('./f', b'x', **OWN), member('./d/', **OWN), member('./d/g', b'yy', **OWN)])
    return bundle(tmp_path, {'NetworkMode': 'none', 'Binds': ['%s:/d' % place]}, [
        {'type': 'bind', 'source': str(place), 'destination': '/d'}], {'binds/00-shop.tar': raw}, [('00-shop', str(place))]), place


def test_bind_that_has_what_the_bundle_has_is_unchanged(engine, tmp_path):
    path, place = same_host(tmp_path)
    os.utime(str(place / 'd'))
    before = sorted((name, os.lstat(str(name)).st_ctime_ns) for name in place.rglob('*'))
    made = plan(engine, path)[0]
    assert not made.refusals
    assert [(step.kind, step.name, step.action) for step in made.steps][0] == ('folder', str(place), 'keep')
    assert not made.steps[0].changes and made.before['folders'] == made.after['folders']
    assert before == sorted((name, os.lstat(str(name)).st_ctime_ns) for name in place.rglob('*'))


@pytest.mark.parametrize('change', [
    lambda place: (place / 'f').write_bytes(b'z'), lambda place: (place / 'f').unlink(), lambda place: (place / 'd' / 'new').mkdir(),
    lambda place: os.chmod(str(place / 'd' / 'g'), 0o600), lambda place: os.rename(str(place / 'f'), str(place / 'F'))],
    ids=['content', 'gone', 'more', 'mode', 'name'])
def test_bind_that_differs_is_refused_with_the_difference_and_the_ways(change, engine, tmp_path):
    path, place = same_host(tmp_path)
    change(place)
    said = ' '.join(plan(engine, path)[0].refusals)
    for word in ('not empty', 'not what the bundle has', 'force: true', 'leaves binds out'):
        assert word in said
    assert plan(engine, path, force=True)[0].steps[0].action == 'replace'


def test_damaged_archive_of_a_bind_is_refused_by_its_name(engine, tmp_path):
    path, dummy = same_host(tmp_path, b'no archive at all' * 100)
    assert '00-shop.tar' in ' '.join(plan(engine, path)[0].refusals)


def test_engine_whose_host_cannot_be_reached(engine, tmp_path):
    engine.docker_host = 'tcp://h:1'
    path = bundle(tmp_path, {'NetworkMode': 'none', 'Binds': ['/srv/x:/d']}, binds=[('00-x', '/srv/x')])
    assert 'restore: [image, volumes, container]' in ' '.join(plan(engine, path)[0].refusals)


@pytest.mark.parametrize('place', ['/etc/cron.d/evil', '/root/.ssh', '/home/me/.ssh/authorized_keys', '/srv/../etc/cron.d/evil',
                                   '//etc/lifeboat-never', '/var/spool/cron/crontabs/root', '/usr/local/lifeboat-never'])
def test_data_for_places_of_the_system_need_a_word(place, engine, tmp_path):
    """Such a file would be run by root, whatever the container may do; also where no container asks for it."""
    path = bundle(tmp_path, binds=[('00-x', place)])
    for restore in (('binds',), planning.EVERYTHING):
        assert 'allow: [host_paths]' in ' '.join(plan(engine, path, restore=restore)[0].refusals)


def test_links_on_the_way_count(engine, tmp_path):
    os.symlink('/etc', str(tmp_path / 'link'))
    path = bundle(tmp_path, binds=[('00-x', '%s/cron.d/evil' % (tmp_path / 'link'))])
    assert 'which leads to /etc/cron.d/evil' in ' '.join(plan(engine, path)[0].refusals)


def test_one_bind_in_another(engine, tmp_path):
    """The first could bring a link that the second goes through."""
    path = bundle(tmp_path, binds=[('00-a', '/srv/a'), ('01-b', '/srv/a/link/cron.d')])
    assert '/srv/a/link/cron.d is no place' in ' '.join(plan(engine, path)[0].refusals)


@pytest.mark.parametrize('place', ['/etc/localtime', '/', '/etc', '/run/x.sock', '/var/run/docker.sock', '/lib'])
def test_what_belongs_to_the_host_stays(place, engine, tmp_path):
    path = bundle(tmp_path, {'NetworkMode': 'none', 'Binds': [place + ':/d']}, binds=[('00-x', place)])
    made = plan(engine, path, allow=('host_paths', 'docker_socket'), force=True)[0]
    assert made.refusals == [] and [step.kind for step in made.steps] == ['container']
    assert any('is not restored' in note for note in made.notes)


def test_nocopy_makes_no_other_container(engine, tmp_path):
    """It counts only when a container is created: one that was restored without it is still the same."""
    path = bundle(tmp_path, {'NetworkMode': 'none', 'Binds': ['vol:/vol:ro'], 'Mounts': [
        {'Type': 'volume', 'Source': 'vol', 'Target': '/w'}]}, [volume(), volume(destination='/w')])
    body = plan(engine, path)[1].wanted
    assert body['HostConfig']['Binds'] == ['vol:/vol:ro,nocopy']
    engine.existing = {'Id': CID, 'Image': 'sha256:1', 'Config': dict(body), 'HostConfig': dict(
        body['HostConfig'], Binds=['vol:/vol:ro'], Mounts=[{'Type': 'volume', 'Source': 'vol', 'Target': '/w'}])}
    assert plan(engine, path)[1].same
    engine.existing['HostConfig']['Binds'] = ['vol:/vol']
    assert not plan(engine, path)[1].same


def test_paused_is_said(engine, tmp_path):
    path = bundle(tmp_path, state={'Running': True, 'Paused': True})
    made = plan(engine, path, state='started')[0]
    assert 'then pause it as it was' in made.steps[-1].message and any('was paused' in note for note in made.notes)
