"""Which files a pattern chooses of a file system."""
import errno
import os

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.disk.tree import Failure
from ansible_collections.lifeboat.docker.plugins.module_utils.layers import chosen, filesystem, union
from ansible_collections.lifeboat.docker.plugins.module_utils.records import model

FILES = ('etc/app.conf', 'etc/passwd', 'srv/a/b/one.sql', 'srv/a/two.sql', 'srv/a/.hidden', 'srv/three.txt', 'srv/a.b/x',
         'srv/od[d]/y', 'tmp/gone')


def put(base, name, content=b'x'):
    path = os.path.join(str(base), name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'wb') as out:
        out.write(content)


@pytest.fixture
def files(tmp_path):
    base, volume = str(tmp_path / 'layer'), str(tmp_path / 'volume')
    for name in FILES:
        put(base, name)
    os.symlink('/srv/a', base + '/current')
    os.symlink('current', base + '/again')
    os.symlink('../srv/a', base + '/srv/link')
    os.mkdir(base + '/srv/empty')
    put(volume, 'data/rows')
    mounts = [filesystem.MountPoint(b'/var/lib/db', lambda: filesystem.plain(os.fsencode(volume))),
              filesystem.MountPoint(b'/var/lib/lost', None, 'it is not on this disk')]
    with union.View([model.Layer(os.fsencode(base), model.OVERLAY)]) as view:
        yield filesystem.FileSystem(filesystem.merged(view), mounts)


def choose(files, *patterns):
    """(paths chosen, paths that failed)."""
    choice = chosen.Choice(files, [chosen.resolve(files, os.fsencode(text)) for text in patterns])
    found = list(choice.entries())
    return ([item.path.decode() for item in found if not isinstance(item, Failure)],
            [item.path.decode() for item in found if isinstance(item, Failure)])


@pytest.mark.parametrize('pattern, expected', [
    ('/etc/app.conf', ['etc', 'etc/app.conf']),
    ('etc/app.conf', ['etc', 'etc/app.conf']),
    ('/srv/a', ['srv', 'srv/a', 'srv/a/.hidden', 'srv/a/b', 'srv/a/b/one.sql', 'srv/a/two.sql']),
    ('/srv/a/**', ['srv', 'srv/a', 'srv/a/.hidden', 'srv/a/b', 'srv/a/b/one.sql', 'srv/a/two.sql']),
    ('/srv/a/*', ['srv', 'srv/a', 'srv/a/.hidden', 'srv/a/b', 'srv/a/b/one.sql', 'srv/a/two.sql']),
    ('/srv/**/*.sql', ['srv', 'srv/a', 'srv/a/b', 'srv/a/b/one.sql', 'srv/a/two.sql']),
    ('/**/one.sql', ['srv', 'srv/a', 'srv/a/b', 'srv/a/b/one.sql']),
    ('/srv/?/two.*', ['srv', 'srv/a', 'srv/a/two.sql']),
    ('/srv/[!b]/two.sql', ['srv', 'srv/a', 'srv/a/two.sql']),
    ('/srv/od[d]', ['srv', 'srv/od[d]', 'srv/od[d]/y']),                # it is there as typed
    ('/srv/*/../three.txt', None),
    ('/srv/empty', ['srv', 'srv/empty']),
    ('/var/lib/db/**', ['var', 'var/lib', 'var/lib/db', 'var/lib/db/data', 'var/lib/db/data/rows']),
    ('/var/**/rows', ['var', 'var/lib', 'var/lib/db', 'var/lib/db/data', 'var/lib/db/data/rows']),
])
def test_what_a_pattern_chooses(files, pattern, expected):
    if expected is None:
        with pytest.raises(chosen.Nothing):
            choose(files, pattern)
        return
    assert choose(files, pattern)[0] == expected


def test_everything(files):
    whole = [item.path.decode() for item in files.walk(files.root) if not isinstance(item, Failure)]
    for pattern in ('/', '/**'):
        assert choose(files, pattern)[0] == whole


def test_links_of_the_literal_beginning_come_along(files):
    """Where /again is a link to a link, the archive has the links and what they lead to."""
    assert choose(files, '/again/two.sql')[0] == ['again', 'current', 'srv', 'srv/a', 'srv/a/two.sql']
    assert choose(files, '/current')[0][:2] == ['current', 'srv']
    assert 'srv/a/b/one.sql' in choose(files, '/current')[0]


def test_links_that_a_glob_meets_are_not_followed(files):
    assert choose(files, '/srv/l*')[0] == ['srv', 'srv/link']


def test_several_patterns_give_each_path_once(files):
    found = choose(files, '/srv/**/*.sql', '/srv/a', '/etc/app.conf')[0]
    assert len(found) == len(set(found)) and found[0] == 'etc' and 'srv/a/.hidden' in found


@pytest.mark.parametrize('pattern, parent, code', [
    ('/srv/nowhere/deep/x', b'/srv', errno.ENOENT),
    ('/nowhere/*.sql', b'/', errno.ENOENT),
    ('/etc/passwd/x', b'/etc', errno.ENOTDIR),
    ('/etc/passwd/*', b'/etc', errno.ENOTDIR),
])
def test_nothing_names_the_nearest_parent(files, pattern, parent, code):
    with pytest.raises(chosen.Nothing) as raised:
        choose(files, pattern)
    assert (raised.value.parent, raised.value.why.errno) == (parent, code)


@pytest.mark.parametrize('pattern', ['/srv/empty/**', '/srv/*.nothing', '/srv/**/nope'])
def test_a_glob_that_matches_nothing_matches_nothing(files, pattern):
    pattern = chosen.resolve(files, os.fsencode(pattern))
    choice = chosen.Choice(files, [pattern])
    assert not [item for item in choice.entries() if not isinstance(item, Failure)] and not choice.matched


def test_what_is_lost_where_a_pattern_leads_is_told(files):
    assert choose(files, '/var/lib/**')[1] == ['var/lib/lost']
    assert choose(files, '/etc/**')[1] == []


def test_literal_paths_do_not_list_other_folders(files, monkeypatch):
    listed = []
    merge = union.View._merge
    monkeypatch.setattr(union.View, '_merge', lambda self, parts, prefix: listed.append(prefix) or merge(self, parts, prefix))
    choose(files, '/srv/a/b')
    assert set(listed) <= {b'', b'srv/', b'srv/a/', b'srv/a/b/'}


def test_a_file_with_signs_in_its_name_does_not_keep_others_back(tmp_path):
    """`--paths web:/srv/*` where somebody once made a file that is called `*`."""
    for name in ('srv/*', 'srv/one', 'srv/two/x', 'srv/[ab]', 'srv/a'):
        put(tmp_path, name)
    with union.View([model.Layer(os.fsencode(str(tmp_path)), model.OVERLAY)]) as view:
        files = filesystem.FileSystem(filesystem.merged(view), [])
        assert choose(files, '/srv/*')[0] == ['srv', 'srv/*', 'srv/[ab]', 'srv/a', 'srv/one', 'srv/two', 'srv/two/x']
        assert choose(files, '/srv/[ab]')[0] == ['srv', 'srv/[ab]', 'srv/a']
        choice = chosen.Choice(files, [chosen.resolve(files, b'/srv/*'), chosen.resolve(files, b'/srv/[*]')])
        assert len(list(choice.entries())) == 7 and choice.matched >= {0, 1}
