"""tar-split data out of a tar: the tar comes together from them again, byte for byte, and they are what Docker would have written."""
import gzip
import io
import json
import random
import tarfile

import layertree
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.formats import tarsplit, tarsplit_write


def cut(data, chance):
    """DATA in pieces by chance."""
    at = 0
    while at < len(data):
        step = chance.choice((1, 100, 511, 512, 513, 5000, 70000))
        yield data[at:at + step]
        at += step


def made(members, form=tarfile.PAX_FORMAT, **more):
    """Bytes of a tar of (name, content, changes of the header)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w', format=form, errors='surrogateescape', **more) as tar:
        for name, content, changes in members:
            item = tarfile.TarInfo(name)
            item.size = len(content)
            for key, value in changes.items():
                setattr(item, key, value)
            tar.addfile(item, io.BytesIO(content))
    return out.getvalue()


def together(split, raw):
    """The tar that tar-split data and the files of the tar RAW make."""
    with tarfile.open(fileobj=io.BytesIO(raw), errors='surrogateescape') as tar:
        files = {item.name.encode('utf-8', 'surrogateescape'): tar.extractfile(item).read() for item in tar if item.isreg() and item.size}
    bad = []
    found = b''.join(tarsplit.assemble(io.BytesIO(split), lambda name, size: (files[name],), bad))
    assert bad == []
    return found


def test_it_is_what_docker_writes():
    """The fixture writes a tar and its tar-split data as Docker does, and was compared with it."""
    nodes = {b'etc': layertree.folder(0), b'etc/one': layertree.file(0, b'one'), b'etc/empty': layertree.file(0),
             b'etc/large': layertree.file(0, b'x' * 70000), b'etc/n\xff': layertree.file(0, b'bytes'), b'etc/link': layertree.symlink(0, b'one'),
             b'etc/even': layertree.file(0, b'y' * 1024)}
    raw, split = layertree.tar(nodes)
    for seed in range(5):
        found = b''.join(tarsplit_write.lines(cut(raw, random.Random(seed))))
        assert [json.loads(line.decode()) for line in found.splitlines()] == [json.loads(line.decode()) for line in split.splitlines()]


@pytest.mark.parametrize('form', [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_names_and_headers_of_every_sort(form):
    members = [('a' * 90 + '/' + 'b' * 90 + '/' + 'c' * 90, b'long', {}), ('n\udcff', b'bytes', {}),
               ('link', b'', {'type': tarfile.SYMTYPE, 'linkname': 'd' * 200}),
               ('folder', b'', {'type': tarfile.DIRTYPE}), ('far', b'owner', {'uid': 3000000}), ('hard', b'', {'type': tarfile.LNKTYPE, 'linkname': 'far'})]
    if form == tarfile.PAX_FORMAT:
        members.append(('capable', b'program', {'pax_headers': {'SCHILY.xattr.security.capability': '\x01\udc80', 'mtime': '1.5'}}))
    raw = made(members, form)
    split = tarsplit_write.packed(cut(raw, random.Random(1)))
    assert together(split, raw) == raw
    assert [entry.name for entry in tarsplit.entries(io.BytesIO(split)) if isinstance(entry, tarsplit.File)] == [
        name.encode('utf-8', 'surrogateescape') + (b'/' if name == 'folder' else b'') for name, dummy, dummy2 in members]


@pytest.mark.parametrize('end', [b'', bytes(512), bytes(1024), bytes(10240), bytes(1024) + b'what somebody put there', bytes(3 << 20)])
def test_what_follows_the_last_member_is_kept(end):
    raw = made([('one', b'one', {})]).rstrip(b'\0')
    raw += bytes(-len(raw) % 512) + end
    split = b''.join(tarsplit_write.lines([raw]))
    assert b''.join(tarsplit.assemble(io.BytesIO(split), lambda name, size: (b'one',))) == raw


def test_what_docker_cannot_put_together_is_refused():
    sparse = bytearray(made([('holes', b'x', {})], tarfile.GNU_FORMAT))
    sparse[156:157] = b'S'
    pax = made([('holes', b'x', {'pax_headers': {'GNU.sparse.major': '1', 'GNU.sparse.minor': '0'}})])
    for raw in (bytes(sparse), pax, made([('one', b'x' * 5000, {})])[:3000], made([('one', b'x', {'pax_headers': {'k': 'v' * 600}})])[:700]):
        with pytest.raises(tarsplit_write.NotSplit):
            tarsplit_write.packed([raw])


def test_any_bytes_end_in_lines_or_a_refusal():
    chance = random.Random(7)
    whole = made([('one', b'one', {'pax_headers': {'a': 'b'}}), ('two', b'two', {'uid': 1 << 30})])
    for dummy in range(300):
        raw = bytearray(whole)
        for at in chance.sample(range(len(raw)), chance.randint(1, 8)):
            raw[at] = chance.randrange(256)
        try:
            found = tarsplit_write.packed([bytes(raw)])
        except tarsplit_write.NotSplit:
            continue
        assert gzip.decompress(found)
