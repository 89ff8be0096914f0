from ansible_collections.lifeboat.docker.plugins.module_utils.formats import whiteouts


def test_paths_of_markers():
    assert whiteouts.whiteout_path(b'etc/hosts') == b'etc/.wh.hosts'
    assert whiteouts.whiteout_path(b'hosts') == b'.wh.hosts'
    assert whiteouts.opaque_path(b'var/cache') == b'var/cache/.wh..wh..opq'
    assert whiteouts.opaque_path(b'') == b'.wh..wh..opq'


def test_meaning_of_names():
    assert whiteouts.meaning(b'hosts') == (None, b'hosts')
    assert whiteouts.meaning(b'.wh.hosts') == ('whiteout', b'hosts')
    assert whiteouts.meaning(b'.wh..wh..opq') == ('opaque', b'')
    for name in (b'.wh..wh.aufs', b'.wh..wh.plnk', b'.wh..wh.orph'):
        assert whiteouts.meaning(name) == ('bookkeeping', b'')
    # hides a file whose name begins with a dot; no bookkeeping
    assert whiteouts.meaning(b'.wh..bashrc') == ('whiteout', b'.bashrc')


def test_meaning_undoes_the_path():
    for name in (b'a', b'.a', b'\xff', b'new\nline'):
        assert whiteouts.meaning(whiteouts.whiteout_path(b'x/' + name).rpartition(b'/')[2]) == ('whiteout', name)


def test_names_that_would_be_taken_for_markers():
    assert whiteouts.looks_like_marker(b'.wh.x')
    assert whiteouts.looks_like_marker(b'a/.wh.x')
    assert whiteouts.looks_like_marker(b'.wh.d/inside')
    assert not whiteouts.looks_like_marker(b'a/b.wh.x')
    assert not whiteouts.looks_like_marker(b'a/b')
