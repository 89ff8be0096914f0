"""A bundle into plain folders: the whole way without an engine."""
import json
import os
import tarfile

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.restore import folders, plan, run
from ansible_collections.lifeboat.docker.tests.unit.restore.bundles import ROOT, make_bundle, member, tar_bytes

GOOD = tar_bytes([ROOT, member('./a', b'data'), member('./d/'), member('./d/b', b'more')])
BAD = tar_bytes([ROOT, member('./a', b'x'), member('l', kind=tarfile.SYMTYPE, linkname='/'), member('l/tmp/x', b'x')])
ANONYMOUS = '9' * 64


@pytest.fixture
def place(tmp_path):
    return tmp_path / 'dest'


def bundle(tmp_path, **archives):
    return make_bundle(tmp_path / 'bundle', dict(('volumes/%s.tar' % name, raw) for name, raw in archives.items()),
                       {'container': {'name': 'web', 'id': 'c' * 64}, 'mounts': [
                           {'type': 'volume', 'name': ANONYMOUS, 'destination': '/var/data', 'anonymous': True}]}, 'container')


def restore(path, place, **options):
    return run.restore(plan.Options(path=path, target='directory', dest=os.fsencode(str(place)), **options))


def tree(folder):
    return sorted(os.path.relpath(os.path.join(top, name), str(folder)) for top, dummy, names in os.walk(str(folder))
                  for name in names if not name.startswith('.lifeboat'))


def actions(result):
    return [step['action'] for step in result['steps']]


def test_there_and_again(tmp_path, place):
    path = bundle(tmp_path, one=GOOD, **{ANONYMOUS: GOOD})
    result = restore(path, place)
    assert result['changed'] and actions(result) == ['create', 'create']
    assert tree(place) == sorted('volumes/%s/%s' % pair for pair in [
        ('one', 'a'), ('one', 'd/b'), ('web-var-data', 'a'), ('web-var-data', 'd/b')])
    (place / 'volumes' / 'one' / 'new').write_bytes(b'written since')
    again = restore(path, place)
    assert not again['changed'] and actions(again) == ['keep', 'keep']


def test_check_mode_writes_nothing(tmp_path, place):
    result = restore(bundle(tmp_path, one=GOOD), place, check=True)
    assert result['changed'] and not place.exists()
    assert result['diff']['before']['folders'] == {str(place / 'volumes' / 'one'): None}


def test_names(tmp_path, place):
    path = bundle(tmp_path, one=GOOD, **{ANONYMOUS: GOOD})
    restore(path, place, volume_map={'one': 'uno', 'web-var-data': 'data'})
    assert sorted(name for name in os.listdir(str(place / 'volumes')) if name[0] != '.') == ['data', 'uno']
    with pytest.raises(LifeboatError) as caught:
        restore(path, place, volume_map={'none': 'x'})
    assert 'one' in str(caught.value)
    with pytest.raises(LifeboatError):
        restore(path, place, volume_map={'one': 'same', ANONYMOUS: 'same'})


def test_full_folder_is_refused_and_named(tmp_path, place):
    (place / 'volumes' / 'one').mkdir(parents=True)
    (place / 'volumes' / 'one' / 'precious').write_bytes(b'x')
    with pytest.raises(LifeboatError) as caught:
        restore(bundle(tmp_path, one=GOOD), place)
    assert 'precious' in str(caught.value) and tree(place) == ['volumes/one/precious']


@pytest.mark.parametrize('keep', [True, False])
def test_force_replaces_and_never_merges(tmp_path, place, keep):
    (place / 'volumes' / 'one').mkdir(parents=True)
    (place / 'volumes' / 'one' / 'old').write_bytes(b'x')
    result = restore(bundle(tmp_path, one=GOOD), place, force=True, keep_old=keep)
    assert sorted(os.listdir(str(place / 'volumes' / 'one'))) == ['a', 'd']
    aside = [name for name in os.listdir(str(place / 'volumes')) if '.before-' in name]
    assert len(aside) == len(result['kept']) == (1 if keep else 0)
    if keep:
        assert os.listdir(str(place / 'volumes' / aside[0])) == ['old'] and result['kept'][0]['now'].endswith(aside[0])


def test_hostile_archive_leaves_nothing_and_brings_the_old_back(tmp_path, place):
    path = bundle(tmp_path, aaa=GOOD, bad=BAD)
    with pytest.raises(LifeboatError) as caught:
        restore(path, place)
    assert 'bad.tar' in str(caught.value) and tree(place) == [] and not (place / 'volumes').exists()
    (place / 'volumes' / 'aaa').mkdir(parents=True)
    (place / 'volumes' / 'aaa' / 'old').write_bytes(b'x')
    with pytest.raises(LifeboatError):
        restore(path, place, force=True)
    assert tree(place) == ['volumes/aaa/old']
    with pytest.raises(LifeboatError) as caught:
        restore(path, place, force=True, check=True)
    assert 'Nothing was changed' in str(caught.value)


def test_what_a_killed_run_left_is_no_obstacle(tmp_path, place):
    path = bundle(tmp_path, one=GOOD)
    (place / 'volumes' / '.lifeboat-partial-one').mkdir(parents=True)
    (place / 'volumes' / '.lifeboat-partial-one' / 'half').write_bytes(b'x')
    restore(path, place)
    assert tree(place) == ['volumes/one/a', 'volumes/one/d/b']
    # killed between its note and the renaming: the note does not count for another folder
    os.rename(str(place / 'volumes' / 'one'), str(place / 'volumes' / 'gone'))
    assert restore(path, place)['changed']


def test_damaged_bundle(tmp_path, place):
    path = bundle(tmp_path, one=GOOD)
    with open(path + b'/volumes/one.tar', 'r+b') as handle:
        handle.write(b'!')
    with pytest.raises(LifeboatError) as caught:
        restore(path, place)
    assert 'damaged' in str(caught.value) and not place.exists()


def test_nothing_to_restore(tmp_path, place):
    with pytest.raises(LifeboatError):
        restore(bundle(tmp_path, one=GOOD), place, restore=('image',))


def test_rootfs_may_have_devices_and_volumes_may_not(tmp_path, place):
    if os.geteuid() == 0:
        device = tar_bytes([ROOT, member('./null', kind=tarfile.CHRTYPE, devmajor=1, devminor=3)])
        path = make_bundle(tmp_path / 'b', {'rootfs.tar': device}, {'container': {'name': 'web'}, 'components': [
            {'name': 'rootfs', 'kind': 'rootfs', 'file': 'rootfs.tar', 'status': 'complete', 'source_bytes': 0}]}, 'container')
        restore(path, place)
        assert tree(place) == ['rootfs/null']
        with pytest.raises(LifeboatError):
            restore(bundle(tmp_path, one=device), place)


def stopped_root(tmp_path, monkeypatch, state='stopped', idmap=None):
    """A data root whose engine is in this state."""
    from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry

    class Root(object):
        path = os.fsencode(str(tmp_path / 'docker'))
        liveness = type('L', (), {'state': state, 'evidence': ('it is so',)})

    Root.idmap = idmap

    class Host(object):
        roots = [Root]

        def __init__(self, *dummy, engines=()):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *dummy):
            pass
    monkeypatch.setattr(registry, 'open_host', Host)
    monkeypatch.setattr(os, 'geteuid', lambda: 0)
    (tmp_path / 'docker').mkdir()
    return tmp_path / 'docker'


def offline(path, **options):
    return run.restore(plan.Options(path=path, offline=True, restore=('volumes',), **options))


def test_offline_into_a_stopped_engine(tmp_path, monkeypatch):
    root = stopped_root(tmp_path, monkeypatch)
    monkeypatch.setattr(folders.unpack.os, 'fchown', lambda *dummy: None)
    path = bundle(tmp_path, one=GOOD)
    assert offline(path)['changed'] and not offline(path)['changed']
    assert tree(root) == ['volumes/one/_data/a', 'volumes/one/_data/d/b']


@pytest.mark.parametrize('state, suffix', [('running', ''), ('unknown', ''), ('stopped', '100000.100000')])
def test_offline_refuses_unless_the_engine_is_proved_dead(tmp_path, monkeypatch, state, suffix):
    root = stopped_root(tmp_path, monkeypatch, state, suffix)
    with pytest.raises(LifeboatError):
        offline(bundle(tmp_path, one=GOOD))
    assert tree(root) == []


# -- nothing to restore ------------------------------------------------------------------------------------------------------


def bare(tmp_path):
    """A bundle with a writable layer and no volume."""
    return make_bundle(tmp_path / 'bare', {'writable.tar': GOOD}, {'container': {'name': 'bare', 'id': 'd' * 64}}, 'container')


def test_a_bundle_without_what_is_asked_for_is_refused(tmp_path, place):
    with pytest.raises(LifeboatError) as caught:
        restore(bare(tmp_path), place, restore=('volumes',))
    assert 'nothing of what restore asks for (volumes)' in str(caught.value) and not place.exists()


@pytest.mark.parametrize('check', [False, True])
def test_one_of_many_without_it_is_only_named(tmp_path, place, check):
    result = restore(bare(tmp_path), place, restore=('volumes',), if_nothing='skip', check=check)
    assert not result['changed'] and result['nothing'] is True and result['steps'] == [] and result['name'] == 'bare'
    assert [note for note in result['notes'] if 'nothing of what restore asks for (volumes)' in note]
    assert not place.exists()
    assert restore(bundle(tmp_path, one=GOOD), place, restore=('volumes',), if_nothing='skip', check=check)['nothing'] is False


def test_what_is_refused_for_another_reason_is_not_skipped(tmp_path, place):
    (place / 'volumes' / 'one').mkdir(parents=True)
    (place / 'volumes' / 'one' / 'precious').write_bytes(b'x')
    with pytest.raises(LifeboatError):
        restore(bundle(tmp_path, one=GOOD), place, restore=('volumes',), if_nothing='skip')


@pytest.mark.parametrize('own, of_all, heard', [
    ([{'severity': 'warning', 'message': 'volume one: /a: I/O error.'}], [], ': volume one: /a: I/O error.'),
    ([{'severity': 'info', 'message': '3 sockets left out.'}], [{'object': 'one', 'severity': 'critical', 'message': 'Its folder is gone.'}],
     ': Its folder is gone.'),
    ([], [{'object': 'other', 'severity': 'critical', 'message': 'x'}, 7], 'stands in the manifest'), ('odd', 'odd', 'stands in the manifest')])
def test_what_was_rescued_in_part_says_why(own, of_all, heard, tmp_path, place):
    path = bundle(tmp_path, one=GOOD)
    name = os.path.join(os.fsdecode(path), 'manifest.json')
    with open(name) as handle:
        manifest = json.load(handle)
    manifest['components'][0].update(status='partial', problems=own)
    manifest['problems'] = [item for item in of_all if isinstance(item, dict)]
    path = make_bundle(tmp_path / 'bundle', {'volumes/one.tar': GOOD, 'manifest.json': json.dumps(manifest).encode()}, {}, 'container')
    assert [note for note in restore(path, place, check=True)['notes'] if 'only in part (partial)' in note and heard in note]
