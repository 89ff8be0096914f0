"""The copy-on-write view that a database is recovered in, where the layers are not as overlayfs wants them, or not there."""
import os
import shutil
import sqlite3
import stat

import deadroot

from ansible_collections.lifeboat.docker.plugins.module_utils.dump import box, programs, run, view
from ansible_collections.lifeboat.docker.plugins.module_utils.dump.room import Limits
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry

LOW = ('etc/gone', 'etc/stays', 'new/old', 'top', 'usr/deep/er/x', 'usr/deep/er/y')
HIGH = ('etc/.wh.gone', 'new/.wh..wh..opq', 'new/file', '.wh.top', '.wh..wh.aufs', 'usr/deep/er/.wh.x', 'etc/more')


def layer(folder, names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return os.fsencode(str(folder))


def look(dummy_room):
    """In the view: every file below /, but for what the view itself has."""
    found = []
    for folder, folders, names in os.walk('/'):
        if folder == '/':
            folders[:] = [name for name in folders if name not in ('proc', 'dev', 'run', 'tmp')]
        found += [os.path.join(folder, name)[1:] for name in names]
    st = os.stat('/etc')
    return {'files': sorted(found), 'etc': [stat.S_IMODE(st.st_mode), st.st_uid]}


def test_deletions_by_name_are_deletions(tmp_path):
    layers = (layer(tmp_path / 'high', HIGH), layer(tmp_path / 'low', LOW))
    (tmp_path / 'high' / 'etc').chmod(0o710)
    os.chown(str(tmp_path / 'high' / 'etc'), 1234, 1234)
    (tmp_path / 'scratch').mkdir()
    scene = view.Scene(layers, (), os.fsencode(str(tmp_path / 'scratch')), 1 << 26, True, by_name=True)
    ended = box.run(scene, look, Limits(60), lambda data: None)
    assert ended.result == {'files': ['etc/more', 'etc/stays', 'new/file', 'usr/deep/er/y'], 'etc': [0o710, 1234]}, ended
    assert sorted(os.listdir(str(tmp_path / 'scratch'))) == []


def test_sqlite_of_a_container_whose_image_is_lost(tmp_path):
    """It needs no program of an image. That files of the lost layers may be missing is said."""
    made = tmp_path / 'host'
    root = deadroot.build(str(made / 'var' / 'lib' / 'docker'), host_root=str(made), containers=1)
    container = root.containers[0]
    folder = os.path.join(os.fsdecode(container.upper), 'srv')
    os.makedirs(folder, exist_ok=True)
    with sqlite3.connect(os.path.join(folder, 'app.db')) as database:
        database.executescript('create table t (n); insert into t values (1), (2)')
    overlay = str(made / 'var' / 'lib' / 'docker' / 'overlay2')
    kept = os.path.relpath(os.fsdecode(container.upper), overlay).split(os.sep)[0]
    for name in os.listdir(overlay):
        if name not in ('l', kept):
            shutil.rmtree(os.path.join(overlay, name))
    with registry.open_host(os.fsencode(str(made)), [b'/var/lib/docker']) as host:
        request = run.Request(os.fsencode(str(tmp_path / 'out')), 'box', databases=('sqlite',), compression='none', scratch_dir=os.fsencode(str(tmp_path)))
        item = run.dump(host, request)['dumps'][0]
    assert item['status'] == 'partial' and item['missing'] == [programs.IN_LOST_LAYERS] and item['counts'] == {'t': 2}, item
    with sqlite3.connect(item['file']) as database:
        assert database.execute('select count(*) from t').fetchone() == (2,)
    assert sorted(os.listdir(str(tmp_path))) == ['host', 'out']
