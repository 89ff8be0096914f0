import os
import subprocess

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.databases import noise
from ansible_collections.lifeboat.docker.plugins.module_utils.disk import tree
from ansible_collections.lifeboat.docker.plugins.module_utils.records import model
from ansible_collections.lifeboat.docker.plugins.module_utils.usage import walk as usage


def put(root, path, content=b'x'):
    where = os.path.join(str(root), path)
    os.makedirs(os.path.dirname(where), exist_ok=True)
    with open(where, 'wb') as stream:
        stream.write(content)
    os.utime(where, (1600000000, 1600000000))
    return where


def both(root, **options):
    """The two walks have to agree; the result of one."""
    raw = os.fsencode(str(root))
    streamed = usage.scan(tree.PlainTree(raw).entries(), **options)
    fast = usage.scan_folder(raw, **options)
    assert streamed == fast
    return fast


def test_numbers_are_those_of_du(tmp_path):
    for number in range(30):
        put(tmp_path, 'a/%d/file' % (number % 7), b'x' * number * 500)
    os.symlink('nowhere', str(tmp_path / 'link'))
    found = both(tmp_path)
    blocks = subprocess.check_output(['du', '-s', '-B1', str(tmp_path)]).split()[0]
    assert found.allocated == int(blocks) - os.stat(str(tmp_path)).st_blocks * 512
    apparent = sum(os.lstat(os.path.join(folder, name)).st_size for folder, dummy, names in os.walk(str(tmp_path)) for name in names)
    assert (found.bytes, found.files, found.complete) == (apparent, 8, True)


def test_hard_links_count_once_and_names_count_each(tmp_path):
    one = put(tmp_path, 'a/one', b'x' * 1000)
    os.makedirs(str(tmp_path / 'b'))
    os.link(one, str(tmp_path / 'b/two'))
    os.link(one, str(tmp_path / 'a/three'))
    raw = os.fsencode(str(tmp_path))
    # to which of its places it is counted depends on the order of the walk
    for found in (usage.scan_folder(raw), usage.scan(tree.PlainTree(raw).entries())):
        assert (found.bytes, found.files, [one['bytes'] for one in found.top]) == (1000, 3, [1000])


def test_newest_change(tmp_path):
    put(tmp_path, 'old')
    assert both(tmp_path).newest_mtime == '2020-09-13T12:26:40Z'
    os.utime(put(tmp_path, 'a/new'), (1700000000, 1700000000))
    assert both(tmp_path).newest_mtime == '2023-11-14T22:13:20Z'


def test_an_empty_tree_has_no_newest_change(tmp_path):
    found = both(tmp_path)
    assert (found.bytes, found.files, found.newest_mtime, found.top, found.complete) == (0, 0, None, [], True)


@pytest.mark.parametrize('seconds, text', [
    (0, '1970-01-01T00:00:00Z'), (-1, '1969-12-31T23:59:59Z'), (1 << 62, '9999-12-31T23:59:59Z'),
    (-(1 << 62), '0001-01-01T00:00:00Z'), (None, None)])
def test_time_stamps_that_no_calendar_has(seconds, text):
    assert usage.rfc3339(seconds) == text


def test_top_places_are_disjoint_and_largest_first(tmp_path):
    put(tmp_path, 'var/lib/app/data', b'x' * 5000)
    put(tmp_path, 'var/lib/app/deep/er/data', b'x' * 100)
    put(tmp_path, 'var/file', b'x' * 300)
    put(tmp_path, 'srv/file', b'x' * 400)
    put(tmp_path, 'file', b'x' * 20)
    expected = [('/var/lib', 5100), ('/srv', 400), ('/var', 300), ('/', 20)]
    found = both(tmp_path)
    assert [(one['path'], one['bytes']) for one in found.top] == expected
    assert sum(one['bytes'] for one in found.top) == found.bytes
    assert [(one['path'], one['bytes']) for one in both(tmp_path, top_count=2).top] == expected[:2]
    assert [(one['path'], one['bytes']) for one in both(tmp_path, top_depth=1).top] == [('/var', 5400), ('/srv', 400), ('/', 20)]


def test_names_that_are_not_utf8(tmp_path):
    root = os.fsencode(str(tmp_path))
    os.mkdir(root + b'/caf\xe9')
    with open(root + b'/caf\xe9/new\nline', 'wb') as stream:
        stream.write(b'12345')
    top = both(tmp_path).top
    assert top == [{'path': '/caf\\xe9', 'path_b64': 'L2NhZuk=', 'bytes': 5}]


def test_noise_is_told_from_data(tmp_path):
    for path, size in (('var/lib/apt/lists/a', 1), ('app/__pycache__/m.pyc', 2), ('app/m.pyc', 4), ('tmp/x', 8), ('run/app.pid', 16),
                       ('etc/hosts', 32), ('app/debug.log', 64), ('root/.bash_history', 128)):
        put(tmp_path, path, b'x' * size)
    put(tmp_path, 'app/orders.csv', b'x' * 1000)
    put(tmp_path, 'srv/etc/hosts', b'x' * 500)          # only Docker's own /etc/hosts is noise
    found = both(tmp_path)
    assert (found.noise_bytes, found.data_bytes, found.data_files) == (255, 1500, 2)
    assert found.noise_bytes + found.data_bytes == found.bytes


def test_every_line_of_the_noise_table_has_a_reason_and_works(tmp_path):
    for number, line in enumerate(noise.TABLE):
        root = tmp_path / str(number)
        name = {'folder': line.pattern + '/some/file', 'folder_name': 'x/' + line.pattern + '/file', 'file': line.pattern,
                'name': 'x/y/' + line.pattern, 'suffix': 'x/file' + line.pattern}[line.where]
        put(root, name)
        assert len(line.reason) > 5
        assert both(root).data_files == 0, line


def test_noise_table_of_the_user(tmp_path):
    put(tmp_path, 'srv/app/thumbs/a')
    put(tmp_path, 'srv/app/a.parquet')
    assert both(tmp_path).data_files == 2
    table = noise.extended([{'where': 'folder', 'pattern': '/srv/app/thumbs', 'reason': 'made from the pictures'},
                            {'where': 'suffix', 'pattern': '.parquet', 'reason': 'exported every night'}])
    assert both(tmp_path, table=table).data_files == 0
    assert both(tmp_path, table=()).data_files == 2
    with pytest.raises(ValueError) as error:
        noise.extended([{'where': 'folder', 'pattern': 'x'}])
    assert 'reason' in str(error.value)


@pytest.mark.skipif(os.geteuid() != 0, reason='mknod needs root')
def test_whiteouts_do_not_count(tmp_path):
    put(tmp_path, 'kept')
    os.mknod(str(tmp_path / 'gone'), 0o020000, 0)
    assert usage.scan_folder(os.fsencode(str(tmp_path)), model.OVERLAY).files == 1
    assert usage.scan_folder(os.fsencode(str(tmp_path)), model.PLAIN).files == 2


def test_aufs_whiteouts_do_not_count(tmp_path):
    put(tmp_path, 'kept')
    put(tmp_path, '.wh.gone')
    assert usage.scan_folder(os.fsencode(str(tmp_path)), model.AUFS).files == 1
    assert usage.scan_folder(os.fsencode(str(tmp_path)), model.OVERLAY).files == 2


def test_whiteouts_of_a_stream_do_not_count(tmp_path):
    put(tmp_path, 'kept')
    put(tmp_path, 'gone')
    stream = (entry._replace(whiteout=entry.path == b'gone') for entry in tree.PlainTree(os.fsencode(str(tmp_path))).entries())
    assert usage.scan(stream).files == 1


def test_links_are_not_followed(tmp_path):
    secret = tmp_path / 'outside'
    put(secret, 'file', b'x' * 10000)
    root = tmp_path / 'root'
    root.mkdir()
    os.symlink(str(secret), str(root / 'folder'))
    os.symlink('/etc/passwd', str(root / 'file'))
    assert both(root).bytes < 1000


def test_what_cannot_be_read_makes_the_numbers_a_floor(tmp_path):
    put(tmp_path, 'file')
    stream = [tree.Failure(b'broken/folder', OSError(5, 'Input/output error'), True)] + \
        list(tree.PlainTree(os.fsencode(str(tmp_path))).entries())
    found = usage.scan(iter(stream))
    assert not found.complete
    assert found.failures == ['/broken/folder: Input/output error']
    assert found.files == 1


def test_limit_of_files(tmp_path):
    for number in range(600):
        put(tmp_path, '%02d/%d' % (number % 20, number))
    raw = os.fsencode(str(tmp_path))
    for found in (usage.scan(tree.PlainTree(raw).entries(), limits={'scan_max_files': 300}),
                  usage.scan_folder(raw, limits={'scan_max_files': 300})):
        assert not found.complete and found.cut == 'scan_max_files' and 0 < found.files < 600
    assert both(tmp_path, limits={'scan_max_files': 10000}).complete


def test_limit_of_time(tmp_path, monkeypatch):
    for number in range(600):
        put(tmp_path, '%02d/%d' % (number % 20, number))
    clock = iter(range(10000))
    monkeypatch.setattr(usage.time, 'monotonic', lambda: next(clock))
    found = usage.scan_folder(os.fsencode(str(tmp_path)), limits={'scan_timeout': 5})
    assert not found.complete and found.cut == 'scan_timeout' and found.files < 600


def test_one_budget_for_several_trees(tmp_path):
    for name in 'ab':
        for number in range(80):
            put(tmp_path, '%s/%d' % (name, number))
    budget = usage.Budget(scan_max_files=100)
    assert usage.scan_folder(os.fsencode(str(tmp_path / 'a')), limits=budget).complete
    assert not usage.scan_folder(os.fsencode(str(tmp_path / 'b')), limits=budget).complete


def test_a_deep_tree(tmp_path):
    """Deeper than the limit of open files, and longer than PATH_MAX allows."""
    fd = os.open(str(tmp_path), os.O_RDONLY)
    for dummy in range(420):
        os.mkdir('d' * 10, dir_fd=fd)
        inner = os.open('d' * 10, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    out = os.open('file', os.O_WRONLY | os.O_CREAT, dir_fd=fd)
    os.write(out, b'12345')
    os.close(out)
    os.close(fd)
    assert both(tmp_path).bytes == 5
    subprocess.check_call(['rm', '-rf', str(tmp_path / ('d' * 10))])


def test_a_nest_that_no_program_makes_ends_the_descent(tmp_path, monkeypatch):
    put(tmp_path, 'a/b/c/d/file')
    put(tmp_path, 'a/file')
    monkeypatch.setattr(usage, 'MAX_PATH', 5)
    found = usage.scan_folder(os.fsencode(str(tmp_path)))
    assert (found.files, found.complete) == (1, False)
    assert found.failures == ['/a/b/c/: folders are nested too deeply']


def test_a_large_folder_is_read_in_pieces(tmp_path, monkeypatch):
    for number in range(95):
        put(tmp_path, 'f%d' % number)
    monkeypatch.setattr(usage, 'CHUNK', 10)
    assert both(tmp_path).files == 95
    monkeypatch.setattr(usage, 'BIG_FOLDER', 0)
    assert both(tmp_path).files == 95


def test_a_missing_root_is_an_error(tmp_path):
    with pytest.raises(OSError):
        usage.scan_folder(os.fsencode(str(tmp_path / 'none')))
