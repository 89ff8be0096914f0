"""The component `paths`: only the files that somebody needs."""
import io
import json
import os
import shutil
import tarfile

import deadroot
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import info, source
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.rescue import run


@pytest.fixture(scope='module', params=['graphdriver', 'containerd'])
def dead(request, tmp_path_factory):
    tmp = tmp_path_factory.mktemp('host')
    expected = deadroot.build(str(tmp / 'var' / 'lib' / 'docker'), containers=4, host_root=str(tmp), orphan_layers=1, store=request.param)
    return expected, os.fsencode(str(tmp))


def rescue(host_root, dest, *paths, **options):
    options.setdefault('compression', 'none')
    with registry.open_host(host_root, [b'/var/lib/docker']) as host:
        return run.rescue(host, run.Request(os.fsencode(str(dest)), 'box', paths=paths, **options))


def members(bundle, name):
    with tarfile.open(os.path.join(bundle['path'], name)) as archive:
        return archive.getnames()


def component(bundle):
    return [item for item in bundle['components'] if item['kind'] == 'paths']


def test_nothing_but_the_paths_is_taken(dead, tmp_path):
    result = rescue(dead[1], tmp_path / 'out', 'web:/srv/uploads/**', 'web:/var/www/*.html', 'db:/var/lib/db/data')
    assert [item['container'] for item in result['bundles']] in (['web', 'db'], ['db', 'web'])
    assert {item['status'] for item in result['bundles']} == {'complete'} and result['summary']['left_behind']['names'] == []
    assert not [item for item in result['problems'] if item['code'] == 'NOT_INCLUDED']
    web = next(item for item in result['bundles'] if item['container'] == 'web')
    assert [(item['name'], item['file'], item['status']) for item in web['components']] == [
        ('paths:web', 'paths/web.tar', 'complete')]
    names = members(web, 'paths/web.tar')
    assert {'srv', 'srv/uploads', 'srv/uploads/data/a', 'var/www/index.html'} <= set(names)
    assert not [name for name in names if not name.startswith(('srv', 'var'))] and 'srv/new' not in names
    volume = dead[0].volume('shop_uploads')
    assert {name[len('srv/uploads/'):].encode('utf-8', 'surrogateescape') for name in names if name.startswith('srv/uploads/')} == set(volume.nodes)


def test_the_merged_view_and_not_a_layer(dead, tmp_path):
    """What the container deleted stays deleted, and what it changed is changed."""
    result = rescue(dead[1], tmp_path / 'out', 'web:/etc/**', 'web:/srv/**')
    names = {name.encode('utf-8', 'surrogateescape') for name in members(result['bundles'][0], 'paths/web.tar')}
    tree = set(dead[0].container('web').tree())
    mounted = (b'etc/app', b'srv/uploads')
    assert {name for name in names if not name.startswith(mounted)} == {
        name for name in tree if name.startswith((b'etc', b'srv')) and not name.startswith(mounted)
        and dead[0].container('web').tree()[name].kind != 'socket'}


def test_it_verifies_and_a_second_run_changes_nothing(dead, tmp_path):
    first = rescue(dead[1], tmp_path / 'out', 'web:/srv/uploads', 'volume:shop_db:/')
    assert first['changed'] is True and len(first['bundles']) == 2
    found = info.inspect(os.fsencode(str(tmp_path / 'out')), True)
    assert {item['status'] for item in found} == {'verified'}
    assert {part['kind'] for item in found for part in item['components']} == {'paths'}
    assert rescue(dead[1], tmp_path / 'out', 'web:/srv/uploads', 'volume:shop_db:/')['changed'] is False
    # the same bundle of other paths is another one
    assert rescue(dead[1], tmp_path / 'out', 'web:/srv/uploads/data', 'volume:shop_db:/')['changed'] is True


def test_a_changed_file_is_taken_again(dead, tmp_path):
    shutil.copytree(os.fsdecode(dead[1]), str(tmp_path / 'host'), symlinks=True, ignore=lambda folder, names: [
        name for name in names if not os.path.isfile(os.path.join(folder, name)) and not os.path.isdir(os.path.join(folder, name))
        and not os.path.islink(os.path.join(folder, name))])
    root = os.fsencode(str(tmp_path / 'host'))
    rescue(root, tmp_path / 'out', 'volume:shop_db:/data')
    path = str(tmp_path / 'host' / 'var' / 'lib' / 'docker' / 'volumes' / 'shop_db' / '_data' / 'data' / 'a')
    with open(path, 'wb') as out:
        out.write(b'new')
    result = rescue(root, tmp_path / 'out', 'volume:shop_db:/data')
    assert result['changed'] is True
    with tarfile.open(os.path.join(result['bundles'][0]['path'], 'paths', 'shop_db.tar')) as archive:
        assert archive.extractfile('data/a').read() == b'new'


def test_paths_beside_the_rest_of_a_container(dead, tmp_path):
    result = rescue(dead[1], tmp_path / 'out', 'web:/etc/hostname', containers=('web',), include=('config', 'writable'))
    assert [item['kind'] for item in result['bundles'][0]['components']] == ['writable', 'paths', 'config']


def test_each_kind_of_object(dead, tmp_path):
    image = dead[0].container('web').image_reference
    orphan = dead[0].orphans[0].name
    result = rescue(dead[1], tmp_path / 'out', 'volume:shop_db:/data', 'layer:web:/srv', 'image:%s:/bin/sh' % image, 'layer:%s:/' % orphan)
    files = sorted(part['file'] for item in result['bundles'] for part in component(item))
    assert 'paths/shop_db.tar' in files and 'paths/layer-web.tar' in files and len(files) == 4
    assert {item['status'] for item in result['bundles']} == {'complete'}


def test_a_glob_of_containers_takes_those_that_have_the_path(dead, tmp_path):
    result = rescue(dead[1], tmp_path / 'out', '*:/srv/uploads/data')
    assert [item['container'] for item in result['bundles']] == ['web']


@pytest.mark.parametrize('pattern, said', [
    ('web:/srv/uploads/nope/x', '/srv/uploads'), ('web:/srv/uploads/*.nope', '/srv/uploads'), ('web:/nope/**', 'exists is /'),
    ('web', 'no path'), ('nobody:/x', 'No container'), ('volume:nope:/', 'No volume')])
def test_what_matches_nothing_is_an_error_before_anything_is_written(dead, tmp_path, pattern, said):
    with pytest.raises(LifeboatError) as raised:
        rescue(dead[1], tmp_path / 'out', 'db:/var/lib/db', pattern)
    assert said in str(raised.value) and '\n' not in str(raised.value)
    assert not os.path.exists(str(tmp_path / 'out'))


def test_paths_in_a_volume_of_a_container_whose_layers_are_lost(tmp_path):
    deadroot.build(str(tmp_path / 'host/var/lib/docker'), containers=2, host_root=str(tmp_path / 'host'))
    shutil.rmtree(str(tmp_path / 'host/var/lib/docker/overlay2'))
    root = os.fsencode(str(tmp_path / 'host'))
    result = rescue(root, tmp_path / 'out', 'db:/var/lib/db')
    assert (result['bundles'][0]['status'], component(result['bundles'][0])[0]['status']) == ('complete', 'complete')
    assert 'var/lib/db/data/a' in members(result['bundles'][0], 'paths/db.tar')
    with pytest.raises(LifeboatError):
        rescue(root, tmp_path / 'out2', 'db:/srv')


def test_the_readme_says_how_to_unpack_it_and_a_restore_leaves_it(dead, tmp_path):
    result = rescue(dead[1], tmp_path / 'out', 'db:/var/lib/db')
    path = result['bundles'][0]['path']
    with io.open(os.path.join(path, 'README.txt'), encoding='utf-8') as text:
        readme = text.read()
    assert 'tar -C paths' in readme and 'paths/db.tar' in readme and '/var/lib/db' in readme
    assert not source.read(os.fsencode(path)).parts
    with open(os.path.join(path, 'manifest.json'), 'rb') as raw:
        manifest = json.loads(raw.read().decode())
    assert manifest['options']['include'] == [] and manifest['options']['paths'] == {'db': ['/var/lib/db']}


def test_check_mode_tells_the_size(dead, tmp_path):
    result = rescue(dead[1], tmp_path / 'out', 'db:/var/lib/db', check_mode=True)
    assert result['bundles'][0]['bytes'] > 0 and not os.path.exists(str(tmp_path / 'out'))
