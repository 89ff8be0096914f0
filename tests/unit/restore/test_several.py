"""A folder of bundles in one call."""
import json
import os

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.restore import plan, run, several
from ansible_collections.lifeboat.docker.plugins.module_utils.restore.steps import Stopped
from ansible_collections.lifeboat.docker.tests.unit.restore.bundles import ROOT, make_bundle, member, tar_bytes


def container(folder, name, created='2026-01-01T00:00:00Z', volumes=(), host=None):
    files = {'volumes/%s.tar' % volume: tar_bytes([ROOT, member('./f', b'x')]) for volume in volumes}
    files['config/config.v2.json'] = json.dumps({'ID': 'c' * 64, 'Name': '/' + name, 'Config': {}}).encode()
    files['config/hostconfig.json'] = json.dumps(host or {}).encode()
    return make_bundle(os.path.join(str(folder), name), files, {
        'container': {'name': name, 'id': 'c' * 64, 'created': created},
        'mounts': [{'type': 'volume', 'name': volume, 'destination': '/' + volume} for volume in volumes]}, 'container')


@pytest.fixture
def host(tmp_path):
    folder = tmp_path / 'dead1'
    container(folder, 'young', '2026-03-01T00:00:00Z', ['one'])
    container(folder, 'old', '2026-01-01T00:00:00Z')
    make_bundle(str(folder / 'volume-lone'), {'volumes/lone.tar': tar_bytes([ROOT])}, {'volume': {'name': 'lone', 'driver': 'local'}})
    return folder


def restore(folder, dest, **options):
    options.setdefault('restore', ('volumes',))
    return run.restore_all(plan.Options(path=os.fsencode(str(folder)), target='directory', dest=os.fsencode(str(dest)), **options))


@pytest.fixture(autouse=True)
def as_user(monkeypatch):
    if not os.access('/proc/self/mem', os.W_OK):
        pytest.skip('cannot unpack here')


def test_lone_volumes_first_then_by_creation(host):
    assert [item.name for item in several.items(os.fsencode(str(host)))] == ['lone', 'old', 'young']


def test_each_into_its_own_folder_and_those_without_are_skipped(host, tmp_path):
    result = restore(host, tmp_path / 'out', volume_map={'one': 'renamed'})
    assert result['changed'] and [(one['name'], one['nothing']) for one in result['bundles']] == [
        ('lone', False), ('old', True), ('young', False)]
    assert (tmp_path / 'out' / 'young' / 'volumes' / 'renamed' / 'f').read_bytes() == b'x'
    assert not restore(host, tmp_path / 'out', volume_map={'one': 'renamed'})['changed']


def test_one_that_is_damaged_does_not_stop_the_others(host, tmp_path):
    (host / 'old' / 'config' / 'hostconfig.json').write_text('{"x": 1}')
    result = restore(host, tmp_path / 'out')
    assert '1 of 3 bundles' in result['failure'] and 'old: ' in result['failure'] and 'damaged' in result['failure']
    assert result['failure'].endswith('These are done: lone, young.') and result['changed']
    assert (tmp_path / 'out' / 'young' / 'volumes' / 'one' / 'f').exists()


def test_an_interruption_stops_all(host):
    def work(item):
        raise Stopped('The run was interrupted.')
    with pytest.raises(Stopped):
        list(several.each(several.items(os.fsencode(str(host))), work))


@pytest.mark.parametrize('options, said', [
    ({'name': 'x'}, 'is for a single bundle'), ({'volume_map': {'none': 'x'}}, 'volume_map names none'),
    ({'restore': ('image',)}, 'None of the 3 bundles')])
def test_options_that_do_not_fit(options, said, host, tmp_path):
    with pytest.raises(LifeboatError) as caught:
        restore(host, tmp_path / 'out', **options)
    assert said in str(caught.value) and not (tmp_path / 'out').exists()


def test_a_folder_with_one_bundle_is_that_bundle(tmp_path):
    container(tmp_path / 'dead1', 'web', volumes=['one'])
    result = restore(tmp_path / 'dead1', tmp_path / 'out')
    assert 'bundles' not in result and (tmp_path / 'out' / 'volumes' / 'one' / 'f').exists()
    (tmp_path / 'empty').mkdir()
    with pytest.raises(LifeboatError):
        restore(tmp_path / 'empty', tmp_path / 'out')


def test_what_reaches_the_host_is_refused_for_all_before_anything(host):
    container(host, 'root', host={'Privileged': True, 'Binds': ['/:/host']})
    container(host, 'net', host={'NetworkMode': 'host'})
    found = several.items(os.fsencode(str(host)))
    with pytest.raises(LifeboatError) as caught:
        several.refuse_asks(found, plan.EVERYTHING, ('host_namespaces',))
    assert 'root: privileged (--privileged), host_paths (/:/host)' in str(caught.value) and 'net' not in str(caught.value).partition('root')[0]
    assert 'allow: [host_namespaces, privileged, host_paths]' in str(caught.value)
    several.refuse_asks(found, plan.EVERYTHING, ('host_namespaces', 'privileged', 'host_paths'))
    several.refuse_asks(found, ('volumes',), ())
