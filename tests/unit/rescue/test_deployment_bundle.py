"""The bundle `deployment`: beside the others, verified, and the same again while nothing changes."""
import errno
import glob
import json
import os

import deadroot
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import info, reading
from ansible_collections.lifeboat.docker.plugins.module_utils.cli.verbs.rescue import status
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.host import HostRoot
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.rescue import run
from ansible_collections.lifeboat.docker.plugins.module_utils.restore import several


@pytest.fixture
def host(tmp_path):
    """A dead host whose container `web` belongs to a project with files."""
    top = tmp_path / 'host'
    expected = deadroot.build(str(top / 'var/lib/docker'), host_root=str(top))
    for path in glob.glob(str(top / 'var/lib/docker/containers/*/config.v2.json')):
        with open(path) as found:
            config = json.load(found)
        labels = config['Config']['Labels'] or {}
        if labels.get('com.docker.compose.project') == 'shop':
            labels.update({'com.docker.compose.project.working_dir': '/srv/shop', 'com.docker.compose.project.config_files': '/srv/shop/compose.yaml'})
        with open(path, 'w') as out:
            json.dump(config, out)
    for name, content in (('compose.yaml', 'services:\n  web: {image: "nginx:9", build: {context: web}}\n  db: {image: "postgres:9"}\n'), ('.env', 'PW=hush\n'),
                          ('web/Dockerfile', 'FROM nginx\n'), ('web/a b', 'x')):
        deadroot.put(str(top / 'srv/shop' / name), content, 0o644)
    return top, expected


def rescue(top, out, **more):
    values = dict(dest=os.fsencode(str(out)), host_name='box', compression='none', include=('config',), deployment=True)
    values.update(more)
    with registry.open_host(os.fsencode(str(top)), [b'/var/lib/docker']) as opened:
        return run.rescue(opened, run.Request(**values))


def of_deployment(result):
    return [item for item in result['bundles'] if item['kind'] == 'deployment']


def test_it_lies_beside_the_bundles_and_is_verified(host, tmp_path):
    top, out = host[0], tmp_path / 'out'
    result = rescue(top, out)
    item, = of_deployment(result)
    assert item['name'] == 'deployment' and item['status'] == 'complete' and item['changed'] and item['container'] is None
    place = out / 'box' / 'deployment'
    assert reading.inspect_bundle(str(place)).status == 'verified'
    assert (place / 'files/srv/shop/compose.yaml').read_text().startswith('services:') and (place / 'files/srv/shop/.env').read_text() == 'PW=hush\n'
    assert all(os.stat(path).st_mode & 0o777 == (0o700 if os.path.isdir(path) else 0o600) for path in glob.glob(str(place / '**'), recursive=True))
    document = json.loads((place / 'deployment.json').read_text())
    files = {one['path']: one for one in document['files']}
    assert set(files) == {'/srv/shop/compose.yaml', '/srv/shop/.env', '/srv/shop/web/Dockerfile'} and files['/srv/shop/.env']['confidential'] is True
    assert files['/srv/shop/.env']['mode'] == '0644' and files['/srv/shop/.env']['bytes'] == 8 and files['/srv/shop/.env']['named_by'] == ['compose shop']
    assert [one['path'] for one in document['archives']] == ['/srv/shop/web'] and (place / 'contexts/shop-web.tar').exists()
    assert 'hush' not in (place / 'deployment.json').read_text() and 'files/' in (place / 'README.txt').read_text()
    assert result['deployment']['differences_total'] == len(document['differences']) > 0 and result['deployment']['differences'] == document['differences']
    assert {one['container'] for one in document['differences']} == {'web', 'db'} or document['compared']
    assert {'DEPLOYMENT_DIFFERS'} <= {one['code'] for one in result['problems']}
    assert [one['kind'] for one in info.inspect(os.fsencode(str(out)), True)].count('deployment') == 1


def test_a_second_run_changes_nothing_and_a_new_file_does(host, tmp_path):
    top, out = host[0], tmp_path / 'out'
    rescue(top, out)
    again = rescue(top, out)
    assert not again['changed'] and not of_deployment(again)[0]['changed'] and again['deployment']['files'] == 3
    (top / 'srv/shop/.env').write_text('PW=other\n')
    third = rescue(top, out)
    assert of_deployment(third)[0]['changed'] and (out / 'box/deployment/files/srv/shop/.env').read_text() == 'PW=other\n'
    assert [item['name'] for item in third['bundles'] if item['changed']] == ['deployment']


def test_check_mode_writes_nothing(host, tmp_path):
    result = rescue(host[0], tmp_path / 'out', check_mode=True)
    assert of_deployment(result)[0]['changed'] and not (tmp_path / 'out').exists() and result['deployment']['compared'] == 2


@pytest.mark.parametrize('more, there', [
    ({'deployment': False}, False), ({'include': ('volumes',)}, False), ({'volumes': ('*',)}, True), ({'containers': ('web',)}, True),
    ({'containers': ('job',)}, False)])
def test_what_asks_for_it(host, tmp_path, more, there):
    result = rescue(host[0], tmp_path / 'out', **more)
    assert bool(of_deployment(result)) == there
    assert (result['deployment'] is None) == (more.get('deployment') is False or 'volumes' in more.get('include', ()))


def test_it_is_no_success_where_no_container_is(tmp_path):
    top = tmp_path / 'host'
    deadroot.build(str(top / 'var/lib/docker'), host_root=str(top), containers=0, orphan_volumes=0)
    deadroot.put(str(top / 'opt/stacks/wiki/compose.yaml'), 'services: {a: {image: b}}\n')
    result = rescue(top, tmp_path / 'out')
    assert [item['name'] for item in result['bundles']] == ['deployment'] and 'DATA_ROOT_EMPTY' in {item['code'] for item in result['problems']}
    assert run.verdict(result, 'lost').startswith('Nothing was rescued.')


def test_a_restore_of_the_folder_passes_it_over(host, tmp_path):
    rescue(host[0], tmp_path / 'out', containers=('web',))
    assert [item.kind for item in several.items(os.fsencode(str(tmp_path / 'out')))] == ['container']
    with pytest.raises(LifeboatError):
        several.items(os.fsencode(str(tmp_path / 'out/box/deployment')))


def test_a_file_that_goes_between_is_named(host, tmp_path, monkeypatch):
    from ansible_collections.lifeboat.docker.plugins.module_utils.deployment import gather
    real = gather.gather

    def gone(given):
        found = real(given)
        os.unlink(str(host[0] / 'srv/shop/.env'))
        return found
    monkeypatch.setattr(gather, 'gather', gone)
    result = rescue(host[0], tmp_path / 'out')
    assert of_deployment(result)[0]['status'] == 'partial' and [item for item in result['problems'] if item['code'] == 'READ_ERROR']
    document = json.loads((tmp_path / 'out/box/deployment/deployment.json').read_text())
    assert [item['path'] for item in document['left_out']] == ['/srv/shop/.env']


def test_a_disk_that_gives_none_of_the_files_is_no_whole_rescue(host, tmp_path, monkeypatch):
    """Nothing of it could be taken: a bundle says which, and why, and is not whole."""
    real = HostRoot._walk

    def walk(self, name, follow=True):
        if name.startswith(b'/srv/shop'):
            raise OSError(errno.EIO, os.strerror(errno.EIO), name)
        return real(self, name, follow)
    monkeypatch.setattr(HostRoot, '_walk', walk)
    result = rescue(host[0], tmp_path / 'out')
    item, = of_deployment(result)
    assert item['status'] == 'partial' and status(result) == 1 and reading.inspect_bundle(item['path']).status == 'verified'
    document = json.loads((tmp_path / 'out/box/deployment/deployment.json').read_text())
    assert ('/srv/shop/compose.yaml', 'unreadable') in {(one['path'], one['kind']) for one in document['left_out']} and document['files'] == []
    assert not rescue(host[0], tmp_path / 'out')['changed']
