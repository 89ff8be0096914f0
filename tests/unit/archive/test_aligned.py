"""Archives in a repository: large files begin where pages do, so that a page that did not change is found again."""
import io
import os
import subprocess
import tarfile

import programs
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.archive import trees, write
from ansible_collections.lifeboat.docker.plugins.module_utils.formats import tarwriter


def offsets(raw):
    """{name: (offset of its data, what it has)} of an archive."""
    with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
        return {item.name: (item.offset_data, item) for item in archive}


@pytest.mark.parametrize('mtime', [1600000000, 1600000000.25])
def test_large_files_begin_where_pages_do(tmp_path, mtime):
    """Whatever grows before them, what did not change lies at the same place within pieces of 16 KiB; and every reader reads it."""
    sizes = {'a': 100, 'b': (1 << 20) + 77, 'c': 5000, 'd': 3 << 20, 'e': 1 << 20, 'f': (1 << 20) - 1, 'g' * 150: 1 << 20}
    for name, size in sizes.items():
        (tmp_path / name).write_bytes(os.urandom(size))
        os.utime(str(tmp_path / name), (mtime, mtime))
    seen = []
    for turn in range(3):
        out = io.BytesIO()
        with trees.FolderTree(os.fsencode(str(tmp_path))).opened() as (root, entries):
            result = write.write_tar(entries, out, root_entry=root)
        raw = out.getvalue()
        assert result.tar_bytes == len(raw)
        found = offsets(raw)
        assert {name: found[name][1].size for name in found if name != '.'} == sizes
        for name, size in sizes.items():
            offset, item = found[name]
            assert raw[offset:offset + size] == (tmp_path / name).read_bytes() and item.mtime == mtime
            assert offset % 16384 == 0 or size < 1 << 20, name
        seen.append({raw[at:at + 8192] for at in range(0, len(raw), 8192)})
        if turn == 0:                   # a file more, and one that is longer
            (tmp_path / 'aa').write_bytes(b'new')
            os.utime(str(tmp_path / 'aa'), (mtime, mtime))
            sizes['aa'] = 3
        elif turn == 1:
            sizes['c'] += 700
            (tmp_path / 'c').write_bytes(os.urandom(sizes['c']))
            os.utime(str(tmp_path / 'c'), (mtime, mtime))
    for more in (seen[1] - seen[0], seen[2] - seen[1]):
        assert len(more) <= 8, len(more)


@pytest.mark.parametrize('end', range(0, 16384, 512))
def test_the_comment_that_fills(end):
    for more in ({}, {'mtime_ns': 1600000000 * 10 ** 9 + 5}, {'xattrs': {'user.x': b'y' * 700}}):
        arguments = dict({'name': b'n', 'kind': tarwriter.REGULAR, 'mode': 0o644, 'uid': 1, 'gid': 1, 'size': 5, 'mtime_ns': 1600000000 * 10 ** 9}, **more)
        plain = tarwriter.header(**arguments)
        fill = tarwriter.filler(plain, end + len(plain), 16384)
        block = tarwriter.header(records=fill, **arguments)
        assert (end + len(block)) % 16384 == 0 and len(block) - len(plain) <= 16384 + 512
        assert bool(fill) == ((end + len(plain)) % 16384 != 0)


def test_a_layer_of_an_image_is_not_filled(tmp_path):
    (tmp_path / 'a').write_bytes(b'x')
    (tmp_path / 'b').write_bytes(bytes(1) + os.urandom(1 << 20))
    out = io.BytesIO()
    with trees.FolderTree(os.fsencode(str(tmp_path))).opened() as (dummy, entries):
        write.write_tar(entries, out, form=write.LAYER)
    assert 'comment' not in offsets(out.getvalue())['b'][1].pax_headers


@pytest.mark.parametrize('program', ['tar', 'bsdtar', 'busybox'])
def test_programs_pass_over_the_comment(tmp_path, program):
    programs.need(program)
    (tmp_path / 'in').mkdir()
    (tmp_path / 'out').mkdir()
    for name in 'ab':
        (tmp_path / 'in' / name).write_bytes(os.urandom((1 << 20) + 5))
    with open(str(tmp_path / 'x.tar'), 'wb') as out, trees.FolderTree(os.fsencode(str(tmp_path / 'in'))).opened() as (root, entries):
        write.write_tar(entries, out, root_entry=root)
    done = subprocess.run([program] + (['tar'] if program == 'busybox' else []) + ['-xf', str(tmp_path / 'x.tar'), '-C', str(tmp_path / 'out')],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    assert (done.returncode, done.stdout) == (0, b'')
    for name in 'ab':
        assert (tmp_path / 'in' / name).read_bytes() == (tmp_path / 'out' / name).read_bytes()
