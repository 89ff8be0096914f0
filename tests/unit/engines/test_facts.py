"""What docker_layer_facts says of a host of any size, and of what it could not read."""
import json
import os
import shutil
import tempfile

import deadpodman
import deadroot
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.facts import gather as facts
from ansible_collections.lifeboat.docker.plugins.module_utils.usage import walk as usage


def gathered(top, **options):
    with registry.open_host(os.fsencode(str(top))) as host:
        return facts.gather(host, facts.Options(**options))


@pytest.fixture
def short_folder():
    """A folder with a short name: the size of facts counts here."""
    path = tempfile.mkdtemp()
    yield path
    shutil.rmtree(path)


@pytest.mark.parametrize('containers', [10, pytest.param(500, marks=pytest.mark.newest)])
def test_mounts_say_where_they_lie_however_many_there_are(short_folder, containers):
    expected = deadroot.build(os.path.join(short_folder, 'var/lib/docker'), host_root=short_folder, containers=containers, layers=10,
                              files=1, log_lines=1)
    found = gathered(short_folder)
    by_id = {one['id']: one for one in found['containers']}
    assert len(by_id) == containers
    seen = 0
    for one in expected.containers:
        for wanted, shown in zip(one.mounts, by_id[one.id]['mounts']):
            assert shown['destination'] == wanted.destination and {'source', 'path'} <= set(shown)
            if shown['type'] in ('volume', 'bind') and shown['status'] == 'complete':
                assert shown['path'].startswith(short_folder) and os.path.exists(shown['path'])
                seen += 1
    assert seen
    assert containers < 50 or all(len(one['usage']['top']) <= 1 for one in found['containers'] + found['volumes'])
    assert len(json.dumps({'ansible_facts': {'docker_layers': found}})) < 700000       # AWX drops what is longer


def nest(path):
    os.makedirs(os.path.join(os.fsdecode(path), 'a/b/c/d'))


@pytest.mark.parametrize('where', ['writable', 'volume', 'nowhere'])
def test_what_could_not_be_read_is_not_complete(tmp_path, monkeypatch, where):
    expected = deadroot.build(str(tmp_path / 'var/lib/docker'), host_root=str(tmp_path), containers=6, rich=False, files=1)
    monkeypatch.setattr(usage, 'MAX_PATH', 3)       # a nest that deep cannot be read
    victim = expected.containers[2]
    before = {one['id']: one['status'] for one in gathered(tmp_path, gather_subset=['containers'])['containers']}
    if where == 'writable':
        monkeypatch.setattr(usage, 'MAX_PATH', 40)
        nest(os.path.join(os.fsdecode(victim.upper), 'x' * 50))
    elif where == 'volume':
        monkeypatch.setattr(usage, 'MAX_PATH', 40)
        victim = next(one for one in expected.containers if any(mount.type == 'volume' for mount in one.mounts))
        volume = expected.volume(next(mount.name for mount in victim.mounts if mount.type == 'volume'))
        nest(os.path.join(os.fsdecode(volume.path), 'x' * 50))
    else:
        monkeypatch.setattr(usage, 'MAX_PATH', 4096)
    found = gathered(tmp_path, gather_subset=['containers', 'volumes', 'usage'])
    one = next(item for item in found['containers'] if item['id'] == victim.id)
    unread = [item for item in one['problems'] if item['code'] == 'READ_ERROR']
    assert before[victim.id] == 'complete'
    assert (one['status'], bool(unread)) == (('complete', False) if where == 'nowhere' else ('partial', True))
    for item in found['containers'] + found['volumes']:
        if 'READ_ERROR' in [problem['code'] for problem in item['problems']]:
            assert item['status'] == 'partial'
    assert found['summary']['complete'] == sum(1 for item in found['containers'] if item['status'] == 'complete')
    assert found['summary']['partial'] == sum(1 for item in found['containers'] if item['status'] == 'partial')


@pytest.mark.parametrize('build, place', [(deadroot.build, 'var/lib/docker'), (deadpodman.build, 'var/lib/containers/storage')])
def test_a_root_says_where_its_engine_keeps_volumes(tmp_path, build, place):
    """As the dead host saw it: the commands of the audit are run there."""
    build(str(tmp_path / place), host_root=str(tmp_path), containers=3, files=1)
    found = gathered(tmp_path, gather_subset=['containers', 'volumes'])
    root, volumes = found['roots'][0], [one for one in found['volumes'] if one['path']]
    assert volumes and root['volume_path'].startswith(root['recorded_path'])
    for one in volumes:
        assert one['path'] == str(tmp_path) + root['volume_path'].replace('{name}', one['name'])


@pytest.mark.parametrize('build, place', [(deadroot.build, 'var/lib/docker'), (deadpodman.build, 'var/lib/containers/storage')])
def test_without_definitions_only_what_they_tell_is_missing(tmp_path, build, place):
    build(str(tmp_path / place), host_root=str(tmp_path))
    whole, short = gathered(tmp_path), gathered(tmp_path, definitions=False)
    for one in whole['containers']:
        assert [one.pop(key) for key in ('labels', 'auto_remove', 'restart_policy', 'image_volumes', 'env')]
    for one in whole['volumes']:
        del one['labels']
    assert short == whole
