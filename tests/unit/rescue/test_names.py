"""Names of bundles and of the files in them: no file system may take two for one, and none may be too long for one."""
import json
import os
import shutil

import deadroot
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import info, plan, writing
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.records import model
from ansible_collections.lifeboat.docker.plugins.module_utils.rescue import names, run

LONG = 'v' * 200
VOLUMES = ('Data', 'data', 'DATA', LONG + 'a' * 55, LONG + 'b' * 55, LONG)


@pytest.fixture(scope='module')
def dead(tmp_path_factory):
    """A host whose container has volumes with names that differ only in case, or only in what is beyond 200 bytes."""
    tmp = tmp_path_factory.mktemp('host')
    expected = deadroot.build(str(tmp / 'var' / 'lib' / 'docker'), containers=1, host_root=str(tmp))
    folder = expected.containers[0].folder
    with open(folder + b'/config.v2.json') as file:
        config = json.load(file)
    for name in VOLUMES:
        data = expected.root + b'/volumes/' + os.fsencode(name) + b'/_data'
        os.makedirs(data)
        with open(data + b'/whose', 'w') as file:
            file.write(name)
        config['MountPoints']['/v/' + name] = {
            'Type': 'volume', 'Name': name, 'Source': '%s/volumes/%s/_data' % (expected.recorded_root, name), 'Destination': '/v/' + name,
            'RW': True, 'Driver': 'local', 'Spec': {'Type': 'volume', 'Source': name, 'Target': '/v/' + name}}
    with open(folder + b'/config.v2.json', 'w') as file:
        json.dump(config, file)
    return os.fsencode(str(tmp))


def rescue(dead, dest, **options):
    with registry.open_host(dead, [b'/var/lib/docker']) as host:
        return run.rescue(host, run.Request(os.fsencode(str(dest)), host_name='box', compression='none',
                                            include=('config', 'volumes'), **options))


def test_names_that_differ_in_case_only_and_long_ones_do_not_clash(dead, tmp_path):
    result = rescue(dead, tmp_path, volumes=('*',))
    listed = os.listdir(str(tmp_path / 'box'))
    assert len({name.lower() for name in listed}) == len(listed)
    assert {item['status'] for item in info.inspect(os.fsencode(str(tmp_path)), True)} == {'verified'}
    web = next(item for item in result['bundles'] if item['kind'] == 'container')
    files = {part['name']: part['file'] for part in web['components'] if part['kind'] == 'volume'}
    assert {'volume:' + name for name in VOLUMES} <= set(files) and len({name.lower() for name in files.values()}) == len(files)
    for name in VOLUMES:
        shutil.unpack_archive(os.path.join(web['path'], files['volume:' + name]), str(tmp_path / 'x' / name), 'tar')
        assert (tmp_path / 'x' / name / 'whose').read_text() == name
    again = rescue(dead, tmp_path, volumes=('*',))
    assert not again['changed'] and [item['name'] for item in again['bundles']] == [item['name'] for item in result['bundles']]


def test_files_of_paths_go_to_the_object_that_was_named(dead, tmp_path):
    result = rescue(dead, tmp_path, paths=('volume:Data:/whose', 'volume:data:/whose'))
    found = {}
    for item in result['bundles']:
        for part in item['components']:
            shutil.unpack_archive(os.path.join(item['path'], part['file']), str(tmp_path / 'y' / part['name']), 'tar')
            found[part['name']] = (tmp_path / 'y' / part['name'] / 'whose').read_text()
    assert found == {'paths:Data': 'Data', 'paths:data': 'data'}


def test_two_images_whose_names_become_one_are_two_bundles():
    jobs = [writing.Job('image-a-b-1', 'image', {'id': ident, 'name': name}, {'data_root': '/d'}, model.COMPLETE, (), ())
            for ident, name in (('sha256:1', 'a/b:1'), ('sha256:2', 'a-b:1'))]
    found = [job.name for job in names.distinct(jobs)]
    assert found[0] == 'image-a-b-1' and len(set(found)) == 2
    assert [job.name for job in names.distinct(jobs)] == found


def test_files_of_one_bundle_keep_their_names_where_nothing_clashes():
    items = tuple(plan.volume_item(name, b'/x', model.COMPLETE) for name in ('one', 'two'))
    job = writing.Job('web-1', 'container', {'id': '1'}, {}, model.COMPLETE, items, ())
    assert names.distinct([job])[0].items == items
