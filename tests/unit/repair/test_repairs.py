"""Each break alone: what the engine needs is there again as it was, the undo is exact, and a second plan has nothing to do."""
import hashlib
import json
import os
import shutil

import pytest
from repairing import BREAKS, ROOT, Dead, codes, contents, edit, empty, load, put, snapshot

from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.repair import groups, repositories as names_of_images, run

GUARD = ['GUARD_AUTOREMOVE', 'GUARD_DEAD', 'GUARD_RESTART']
# records that cannot be the same bytes again: compared by their meaning elsewhere
REBUILT = ('config.v2.json', 'hostconfig.json', 'metadata.db', 'repositories.json', 'local-kv.db', 'meta.db')


@pytest.fixture
def dead(tmp_path):
    return Dead(tmp_path, containers=5)


def test_on_a_whole_root_the_plan_is_the_guard_only(dead):
    before = snapshot(dead.top)
    result = dead.run(run.PLANNED)
    assert codes(result['plan']) == GUARD
    assert result['unresolved'] == [] and result['hidden'] == [] and result['problems'] == [] and not result['changed']
    assert snapshot(dead.top) == before


def test_the_guard_holds_what_a_start_would_delete_or_start(dead):
    result = dead.run(run.GUARDED)
    assert result['changed'] and all(step['done'] for step in result['plan'])
    for container in dead.expected.containers:
        value = load(dead.folder(container.name, 'hostconfig.json'))
        assert (value['AutoRemove'], value['RestartPolicy']['Name']) == (False, 'no')
        assert not load(dead.folder(container.name, 'config.v2.json'))['State']['Dead']
        assert value == dict(container.hostconfig, AutoRemove=False, RestartPolicy={'Name': 'no', 'MaximumRetryCount': 0})
    assert dead.run(run.GUARDED)['plan'] == []


def test_policies_are_given_back(dead):
    before = contents(dead.path)
    dead.run()
    result = dead.run(policies=run.GIVE_BACK)
    assert codes(result['plan']) == ['POLICY_BACK']
    for container in dead.expected.containers:
        value = load(dead.folder(container.name, 'hostconfig.json'))
        assert value == dict(container.hostconfig, AutoRemove=False)
    assert dead.run(policies=run.GIVE_BACK)['plan'] == []
    assert dead.run(run.REVERTED)['unresolved'] == [] and contents(dead.path) == before


@pytest.mark.parametrize('name', sorted(BREAKS))
def test_a_break_is_repaired_and_undone(dead, name):
    whole = contents(dead.path)
    BREAKS[name](dead)
    broken = snapshot(dead.path)
    result = dead.run()
    if name == 'init layer gone' and os.geteuid():      # whose the folders of the image are is not what dockerd as root would make
        assert [one['code'] for one in result['unresolved']] == ['INIT_LAYER', 'LOWER']
        return
    lost = ['LAYER_TAR_SPLIT'] if name == 'layer record gone' else []
    assert [one['code'] for one in result['unresolved']] == lost
    assert set(codes(result['plan'])) > set(GUARD)
    tags = [('REPOSITORIES', 'likely')] if name.startswith('repositories') else []
    assert {step['certainty'] for step in result['plan'] if step['done']} <= {'certain', 'rebuilt'}
    assert [(step['code'], step['certainty']) for step in result['plan'] if not step['done']] == tags
    again = dead.run(run.PLANNED)
    assert [(step['code'], step['certainty']) for step in again['plan']] == tags and [one['code'] for one in again['unresolved']] == lost
    after = contents(dead.path)
    different = {path for path in set(after) | set(whole) if after.get(path) != whole.get(path)}
    assert {path for path in different if not path.endswith(REBUILT)} <= allowed(name, dead)
    undone = dead.run(run.REVERTED)
    assert undone['changed'] and undone['unresolved'] == []
    assert snapshot(dead.path) == broken


def allowed(name, dead):
    """What differs from the whole root after the repair of a break, besides records that are made anew."""
    if name in ('buildkit garbage', 'containerd garbage'):
        return {'buildkit', 'containerd', 'containerd/daemon', 'containerd/daemon/io.containerd.metadata.v1.bolt'}
    if name == 'init layer gone':       # its files are those that dockerd makes, the fixture's have times and contents
        init = os.path.relpath(dead.upper('job') + '-init', dead.path)
        return {path for path in contents(dead.path) if path.startswith(init)} | {init + '/diff/' + one for one in (
            'etc/mtab', 'dev/shm', 'dev/pts', 'dev/console', 'proc', 'sys', '.dockerenv')}
    if name in ('work gone', 'links gone'):
        return {os.path.relpath(dead.upper('job', 'work', 'work'), dead.path), 'overlay2/l'}
    if name == 'layer record gone':
        return {os.path.relpath(path, dead.path) for path in (dead.layer(1), dead.layer(1, 'tar-split.json.gz'))}
    return set()


def test_a_rebuilt_config_has_what_other_records_still_tell(dead):
    wanted = load(dead.folder('web', 'config.v2.json'))
    empty(dead.folder('web', 'config.v2.json'))
    dead.run(names={dead.container('web').id[:12]: 'web'})
    made = load(dead.folder('web', 'config.v2.json'))
    for key in ('ID', 'Name', 'Image', 'Driver', 'HostnamePath', 'LogPath'):
        assert made[key] == wanted[key], key
    assert made['Config']['Image'] == wanted['Config']['Image'] and made['HasBeenManuallyStopped'] and not made['State']['Running']
    points = made['MountPoints']
    for place, point in wanted['MountPoints'].items():
        assert (points[place]['Type'], points[place]['Name'], points[place]['RW']) == (point['Type'], point['Name'], point['RW'])


def test_without_its_volume_a_container_is_not_made_anew_unless_asked(dead):
    empty(dead.folder('db', 'config.v2.json'))
    result = dead.run()
    assert [one['why'] for one in result['unresolved']] == ['which anonymous volume was at /var/cache/app is not known']
    assert os.path.getsize(dead.folder('db', 'config.v2.json')) == 0
    dead.run(steps=['CONTAINER_CONFIG'])
    assert load(dead.folder('db', 'config.v2.json'))['ID'] == dead.container('db').id


def test_a_record_says_whose_command_it_has(dead):
    empty(dead.folder('web', 'config.v2.json'))     # this root has no database of containerd, so no spec of any container
    why = [step['why'] for step in dead.run(run.PLANNED)['plan'] if step['code'] == 'CONTAINER_CONFIG']
    assert why == ["from hostconfig.json, image config; nothing tells its own command and environment: they are the image's"]


def test_a_name_is_not_given_twice(dead):
    empty(dead.folder('web', 'config.v2.json'))
    dead.run(names={dead.container('web').id[:12]: 'db'})
    assert load(dead.folder('web', 'config.v2.json'))['Name'] == '/recovered-' + dead.container('web').id[:12]


def test_the_temporary_file_of_the_last_write_is_better_than_any_guess(dead):
    path = dead.folder('web', 'config.v2.json')
    with open(path, 'rb') as stream:
        raw = stream.read()
    put(dead.folder('web', '.tmp-config.v2.json123'), raw)
    put(path, raw[:100])
    result = dead.run()
    assert [step['certainty'] for step in result['plan'] if step['code'] == 'CONTAINER_CONFIG'] == ['certain']
    with open(path, 'rb') as stream:
        assert stream.read() == raw


def test_two_layers_that_fit_leave_a_container_alone(dead):
    for name in ('web', 'db'):
        shutil.rmtree(dead.mount(name))
    before = contents(dead.path)
    result = dead.run(steps=['all', '!GUARD_AUTOREMOVE', '!GUARD_DEAD', '!GUARD_RESTART'])
    assert [one['code'] for one in result['unresolved']] == ['MOUNT_ID', 'MOUNT_ID']
    assert not any(step['done'] for step in result['plan'])
    assert contents(dead.path) == before


def test_what_only_fits_is_done_only_if_it_is_named(dead):
    shutil.rmtree(dead.mount('web'))
    shown = [step for step in dead.run()['plan'] if step['code'] == 'MOUNT_ID']
    assert [(step['certainty'], step['selected'], step['done']) for step in shown] == [('likely', False, False)]
    assert not os.path.exists(dead.mount('web'))
    dead.run(steps=['MOUNT_ID'])
    with open(dead.mount('web', 'mount-id'), 'rb') as stream:
        assert stream.read().decode() == dead.container('web').mount_id
    with open(dead.mount('web', 'parent'), 'rb') as stream:
        assert stream.read().decode() == dead.expected.images[0].layers[-1].chain_id
    assert dead.plan() == []


def test_the_layer_of_a_removed_container_is_not_given_to_one_that_lost_its_own(dead):
    shutil.rmtree(dead.upper('web'))
    for path in (dead.folder('db'), dead.mount('db')):      # what is left of a removal: a layer that nobody claims
        shutil.rmtree(path)
    result = dead.run(steps=['all'])
    assert 'MOUNT_ID' not in codes(result['plan']) and 'MOUNT_ID' in codes(result['unresolved'])
    with open(dead.mount('web', 'mount-id'), encoding='ascii') as stream:
        assert stream.read() == dead.container('web').mount_id


def repositories(dead):
    return load(os.path.join(dead.image, 'repositories.json'))['Repositories']


def call(dead, name, reference):
    """The container NAME was made from its image by the name REFERENCE."""
    path = dead.folder(name, 'config.v2.json')
    edit(path, Config=dict(load(path)['Config'], Image=reference))


@pytest.mark.parametrize('lose', [empty, os.unlink])
def test_a_tag_that_only_a_container_tells_is_written_only_if_it_is_named(dead, lose):
    wanted = repositories(dead)
    lose(os.path.join(dead.image, 'repositories.json'))
    call(dead, 'job', 'docker.io/library/other:7')
    result = dead.run()
    assert repositories(dead) == {}     # dockerd starts with it, and no image has a name that it had lost
    shown = [step for step in result['plan'] if step['code'] == 'REPOSITORIES' and not step['done']]
    assert [step['certainty'] for step in shown] == ['likely'] and 'other:7 is ' + dead.expected.images[0].id[:19] in shown[0]['why']
    assert dead.plan() == shown
    dead.run(steps=['REPOSITORIES'])    # after the first repair as well as with it
    assert repositories(dead).pop('other') == {'other:7': load(dead.folder('job', 'config.v2.json'))['Image']}
    told = {reference for found in repositories(dead).values() for reference in found} - {'other:7'}
    assert told and told <= {reference for found in wanted.values() for reference in found}
    assert dead.plan() == []


def test_a_digest_names_one_image_for_ever(dead):
    empty(os.path.join(dead.image, 'repositories.json'))
    digest = 'sha256:' + 'ab' * 32
    call(dead, 'job', 'registry.example:5000/team/job:3@' + digest)
    dead.run()
    image = load(dead.folder('job', 'config.v2.json'))['Image']
    assert repositories(dead) == {'registry.example:5000/team/job': {'registry.example:5000/team/job@' + digest: image}}
    dead.run(steps=['REPOSITORIES'])
    assert len(repositories(dead)) > 1 and repositories(dead)['registry.example:5000/team/job']


def test_a_tag_that_two_images_had_is_left(dead):
    empty(os.path.join(dead.image, 'repositories.json'))
    content = os.path.join(dead.image, 'imagedb/content/sha256')
    raw = json.dumps(dict(load(os.path.join(content, dead.expected.images[0].id[7:])), author='somebody else')).encode()
    other = hashlib.sha256(raw).hexdigest()
    put(os.path.join(content, other), raw)
    edit(dead.folder('db', 'config.v2.json'), Image='sha256:' + other)
    for name in ('web', 'db'):
        call(dead, name, 'moved:1')
    result = dead.run(steps=['all'])
    assert [one['code'] for one in result['unresolved']] == ['REPOSITORIES'] and 'moved' not in repositories(dead)


@pytest.mark.parametrize('given, repository, reference', [
    ('alpine', 'alpine', 'alpine:latest'), ('docker.io/library/alpine:3', 'alpine', 'alpine:3'), ('library/alpine', 'alpine', 'alpine:latest'),
    ('docker.io/team/app:1', 'team/app', 'team/app:1'), ('localhost:5000/app', 'localhost:5000/app', 'localhost:5000/app:latest'),
    ('app:1@sha256:00', 'app', 'app@sha256:00'), ('registry:5000/a/b@sha256:00', 'registry:5000/a/b', 'registry:5000/a/b@sha256:00')])
def test_names_are_kept_as_dockerd_keeps_them(given, repository, reference):
    assert names_of_images.split(given) == (repository, reference)


def test_a_lower_file_that_contradicts_layerdb_is_left_alone(dead):
    path = dead.upper('web', 'lower')
    with open(path, 'rb') as stream:
        parts = stream.read().split(b':')
    put(path, b':'.join([parts[0]] + parts[:0:-1]))
    before = contents(dead.overlay)
    result = dead.run()
    assert 'LOWER' in [one['code'] for one in result['unresolved']] and contents(dead.overlay) == before


def test_a_lost_layer_is_never_an_empty_folder(dead):
    shutil.rmtree(dead.cache(1))
    result = dead.run(steps=['all'])
    assert not os.path.exists(dead.cache(1)) and result['unresolved']


def test_check_mode_writes_nothing(dead):
    BREAKS['config empty'](dead)
    before = snapshot(dead.top)
    result = dead.run(check=True)
    assert result['changed'] and not any(step['done'] for step in result['plan'])
    assert snapshot(dead.top) == before


def test_diffs_hide_values_of_the_environment(dead):
    result = dead.run(check=True)
    text = repr(result)
    assert 'GUARD_DEAD' in text and 's3cr3t' not in text and 'hunter2' not in text
    empty(dead.folder('db', 'hostconfig.json'))
    assert 'hunter2' not in repr(dead.run(check=True))


def test_diffs_show_nothing_of_half_a_record(dead):
    path = dead.folder('web', 'config.v2.json')
    edit(path, Config=dict(load(path)['Config'], Env=['WORD=hunter2secret']))
    with open(path, 'rb') as stream:
        raw = stream.read()
    put(path, raw[:raw.index(b'hunter2secret') + 20])
    result = dead.run(run.PLANNED)
    assert any(one['after_header'].endswith('(CONTAINER_CONFIG)') for one in result['diff']) and 'hunter2secret' not in json.dumps(result)


def test_an_unknown_code_is_named(dead):
    with pytest.raises(LifeboatError, match='no code WHATEVER'):
        dead.run(steps=['WHATEVER'])


def test_codes_can_be_left_out(dead):
    BREAKS['size empty'](dead)
    assert codes([step for step in dead.run(steps=['!LAYER_SIZE'])['plan'] if step['done']]) == GUARD
    assert codes([step for step in dead.run(steps=['!all', 'LAYER_SIZE'])['plan'] if step['done']]) == ['LAYER_SIZE']


def test_every_code_is_explained():
    assert all(code.means and code.does for code in groups.CODES.values())


@pytest.mark.parametrize('lose', (os.unlink, empty))
def test_networks_that_are_gone_with_their_database_are_named(dead, lose):
    """dockerd says nothing of them: it starts, and only the start of a container fails."""
    path = os.path.join(dead.path, 'network/files/local-kv.db')
    os.makedirs(os.path.dirname(path), exist_ok=True)
    empty(path)
    lose(path)
    config = load(dead.folder('web', 'config.v2.json'))
    config['NetworkSettings']['Networks']['shop-net'] = {'NetworkID': 'f' * 64, 'Gateway': '10.1.0.1', 'IPPrefixLen': 24}
    edit(dead.folder('web', 'config.v2.json'), **config)
    result = dead.run()
    assert [one['code'] for one in result['unresolved']] == ['NETWORK_DB']
    assert 'shop-net (gateway 10.1.0.1/24)' in result['unresolved'][0]['next_step']
    assert dead.plan() == []


def test_a_root_of_an_unknown_layout_is_left_alone(tmp_path):
    path = tmp_path / ROOT
    (path / 'graph').mkdir(parents=True)
    (path / 'containers').mkdir()
    (path / 'volumes').mkdir()
    with pytest.raises(LifeboatError, match='none that repairs know'):
        run.run(run.Request(run.REPAIRED, os.fsencode(str(tmp_path)), b'/' + ROOT.encode()))
    assert not os.path.exists(str(path) + '.lifeboat-repair')
