"""The copy-on-write view that a database is recovered in, of layers that say by names what they hide, as the kernel shows it."""
import os
import stat

from ansible_collections.lifeboat.docker.plugins.module_utils.dump import box, view
from ansible_collections.lifeboat.docker.plugins.module_utils.dump.room import Limits

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
