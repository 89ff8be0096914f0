"""Image layers of a real engine as a power cut leaves them, healed out of each kind of donor: every name, byte, owner, mode, time, link and attribute
is what the engine itself had unpacked, and it saves and runs the image again.

The layers are of the classic builder (20.10) and of BuildKit (28.5). LIFEBOAT_SOAK runs all; a few files of one layer are healed in test_repair.py.
"""
import base64
import contextlib
import gzip
import hashlib
import json
import os
import stat
import subprocess
import tarfile

import pytest
from rig import dead, engine as engines, fixtures, listing, scenario
from telling import exported
from test_repair import engine_on, repair

from ansible_collections.lifeboat.docker.plugins.module_utils.repair import run

SOAK = bool(os.environ.get('LIFEBOAT_SOAK'))
KINDS = fixtures.wanted(('debian-overlay2', 'newer-overlay2') if SOAK else ())
IMAGE, BASE, ONE = 'lifeboat/donor:1', 'lifeboat/donor-base:1', 'one'
_LONG = '/'.join(['a-name-of-forty-characters-that-is-long-'] * 8)
_DOCKERFILE = r'''FROM %s
RUN mkdir -p /opt/deep/er && echo one > /opt/deep/er/one && ln /opt/deep/er/one /opt/deep/two && ln /opt/deep/er/one /opt/three
RUN rm /opt/deep/two && rm -r /opt/from-base/gone && mkdir /opt/from-base/gone && echo back > /opt/from-base/gone/new
RUN dd if=/dev/zero of=/opt/holes bs=1 count=1 seek=3000000 && echo end >> /opt/holes && : > /opt/empty && mkdir /opt/empty-folder
RUN echo bytes > "/opt/$(printf 'n\377me')" && ln -s 'nowhere at all' /opt/link && mkfifo /opt/pipe && mkdir -p /opt/%s && echo far > /opt/%s/far
RUN cp /bin/busybox /opt/large && chown 70000:80000 /opt/large && chmod 6711 /opt/large
CMD ["/bin/sh"]
''' % (BASE, _LONG, _LONG)


def fill(engine):
    engine.docker('import', '-c', 'CMD ["/bin/sh"]', '-', BASE, stdin=scenario.base_tar(True))
    engine.build(scenario._context(_DOCKERFILE), IMAGE, buildkit=engine.kind.newer)
    engine.docker('create', '--name', ONE, '--network', 'none', IMAGE)
    engine.docker('volume', 'create', 'one')
    engine.download(os.path.join(engine.scratch, 'image.tar'), '/images/%s/get' % IMAGE)
    with open(os.path.join(engine.scratch, 'export'), 'w', encoding='ascii') as out:
        out.write(exported(engine, ONE))


@pytest.fixture(scope='module')
def donor_root_of():
    """donor_root_of(kind): DeadRoot with one image of many layers, image.tar (docker save) beside it. Do not write into it."""
    roots = {}
    with contextlib.ExitStack() as stack:
        def get(kind):
            with fixtures.or_say(kind):
                if kind not in roots:
                    roots[kind], engine = dead.build(kind, fill=fill)
                    stack.callback(engine.close)
                return roots[kind]
        yield get


def layers(data_root):
    """Folders of all image layers: those that layerdb names."""
    top = os.path.join(data_root, 'image/overlay2/layerdb/sha256')
    for chain in sorted(os.listdir(top)):
        with open(os.path.join(top, chain, 'cache-id'), encoding='ascii') as stream:
            yield os.path.join(data_root, 'overlay2', stream.read(), 'diff')


def listed(data_root):
    """All that is in image layers, but for how it lies on the disk, and the time of a device that marks what was deleted."""
    found = {}
    for folder in layers(data_root):
        for item in listing.listing(folder):
            drop = {'allocated'} | ({'mtime_ns'} if item['type'] == 'c' else set())
            found[os.path.relpath(folder, data_root), item['path']] = {key: value for key, value in item.items() if key not in drop}
    return found


def files(data_root):
    """Regular files with content of all image layers, each inode once."""
    seen = {}
    for folder in layers(data_root):
        for place, dummy, names in os.walk(os.fsencode(folder)):
            for name in sorted(names):
                path = os.path.join(place, name)
                st = os.lstat(path)
                if stat.S_ISREG(st.st_mode) and st.st_size:
                    seen.setdefault(st.st_ino, path)
    return sorted(seen.values())


def all_empty(data_root):
    for path in files(data_root):
        os.truncate(path, 0)


def single_names(data_root):
    """Files that can be healed one by one: empty, changed, cut, gone."""
    found = [path for path in files(data_root) if os.lstat(path).st_nlink == 1]
    assert len(found) >= 4
    for number, path in enumerate(found):
        size = os.path.getsize(path)
        if number % 4 == 0:
            os.truncate(path, 0)
        elif number % 4 == 1:
            os.truncate(path, size // 2)
        elif number % 4 == 2:
            with open(path, 'r+b') as stream:
                stream.write(b'?' * min(size, 4096))
        else:
            os.unlink(path)


def hard_links_and_folders(data_root):
    for path in files(data_root):
        if os.lstat(path).st_nlink > 1:
            os.truncate(path, 0)
    for folder in layers(data_root):
        for name in ('opt/empty-folder', 'opt/link', 'opt/empty'):
            path = os.path.join(folder, name)
            if os.path.lexists(path):
                (os.rmdir if name.endswith('folder') else os.unlink)(path)


HARMS = {'all files are empty': all_empty, 'single files': single_names, 'hard links and folders': hard_links_and_folders}


def oci_layout(root, place):
    source = 'docker-archive:' + root.file('image.tar')
    subprocess.run([fixtures.program('skopeo'), '--tmpdir', os.path.dirname(place), 'copy', '-q', source, 'oci:%s:latest' % place], check=True)
    return place


def bundle(root, place):
    os.mkdir(place)
    os.link(root.file('image.tar'), os.path.join(place, 'image.tar'))
    return place


DONORS = {'data root': lambda root, place: root.data_root, 'archive': lambda root, place: root.file('image.tar'), 'bundle': bundle, 'layout': oci_layout}
CASES = [(kind, harm, donor) for kind in KINDS for harm in HARMS for donor in DONORS]


@pytest.mark.parametrize('kind, harm, donor', CASES)
def test_layers_are_what_the_engine_had(donor_root_of, kind, harm, donor):
    root = donor_root_of(kind)
    with engine_on(root) as engine:
        unbroken = listed(engine.data_root)
        repair(engine, run.GUARDED)
        HARMS[harm](engine.data_root)
        broken = listed(engine.data_root)
        assert broken != unbroken
        place = os.fsencode(DONORS[donor](root, os.path.join(engine.scratch, 'donor')))
        result = repair(engine, donors=[place])
        assert result['unresolved'] == [] and all(step['done'] for step in result['plan'])
        now = listed(engine.data_root)
        wrong = {key: different(now.get(key), one, kind, harm) for key, one in unbroken.items()}
        assert [(key[1], one) for key, one in wrong.items() if one] == [] and set(now) == set(unbroken)
        assert repair(engine, run.PLANNED, donors=[place])['plan'] == []
        assert repair(engine, run.REVERTED)['unresolved'] == [] and listed(engine.data_root) == broken
        if donor == 'archive':
            proved_by_the_engine(engine, root, place)


def lines_of(data_root):
    """{chain: what tar-split has} as the engine, or a repair, wrote it: segments as one where they follow each other, since versions cut them differently."""
    top = os.path.join(data_root, 'image/overlay2/layerdb/sha256')
    found = {}
    for chain in os.listdir(top):
        entries = found.setdefault(chain, [b''])
        with gzip.open(os.path.join(top, chain, 'tar-split.json.gz')) as stream:
            for line in map(json.loads, stream):
                if line['type'] == 2:
                    entries[-1] += base64.b64decode(line['payload'])
                else:
                    name = line.get('name_raw') or base64.b64encode(line['name'].encode()).decode()
                    entries.extend([(name, line.get('size', 0), line.get('payload') if line.get('size') else None), b''])
    return found


@pytest.mark.parametrize('kind', KINDS)
def test_lost_tar_split_data_are_made_anew(donor_root_of, kind):
    """They are what the engine had written, and it saves the image again."""
    root = donor_root_of(kind)
    with engine_on(root) as engine:
        unbroken, place = lines_of(engine.data_root), os.fsencode(root.file('image.tar'))
        for chain in unbroken:
            os.truncate(os.path.join(engine.data_root, 'image/overlay2/layerdb/sha256', chain, 'tar-split.json.gz'), 0)
        result = repair(engine, donors=[place])
        assert {step['code'] for step in result['plan']} == {'LAYER_TAR_SPLIT'} and all(step['done'] for step in result['plan'])
        assert lines_of(engine.data_root) == unbroken
        assert repair(engine, run.PLANNED, donors=[place])['plan'] == []
        proved_by_the_engine(engine, root, place)


BOOKS = ('trusted.overlay.impure', 'trusted.overlay.origin', 'trusted.overlay.uuid')      # of the kernel, for an upper layer while it is one


def different(now, then, kind, harm):
    """{key: (now, then)} of what differs. A file that is unlinked changes the time of its folder: that was the harm, not the repair. BuildKit makes a layer
    of the folder that it had built in: its times have parts of a second that no tar has, and the kernel had kept books in it."""
    now, then = dict(now or {}), dict(then)
    if then['type'] == 'd' and harm == 'single files':
        now['mtime_ns'] = then.get('mtime_ns')
    if engines.KINDS[kind].newer and 'mtime_ns' in then:
        now['mtime_ns'], then['mtime_ns'] = now.get('mtime_ns', 0) // 10 ** 9, then['mtime_ns'] // 10 ** 9
    if engines.KINDS[kind].newer:
        for side in (now, then):
            side['xattrs'] = {name: value for name, value in (side.get('xattrs') or {}).items() if name not in BOOKS}
    return {key: (now.get(key), then[key]) for key in then if now.get(key) != then[key]}


def proved_by_the_engine(engine, root, place):
    """It starts with the healed layers, and saves and exports what it did before."""
    repair(engine, donors=[place])
    engine.start()
    with open(root.file('export'), encoding='ascii') as stream:
        assert exported(engine, ONE) == stream.read()
    again = os.path.join(engine.scratch, 'again.tar')
    engine.download(again, '/images/%s/get' % IMAGE)
    assert contents(again) == contents(root.file('image.tar'))


def contents(path):
    """{name: SHA-256} of the members of an archive of docker save, links as what they lead to."""
    with tarfile.open(path) as tar:
        return {item.name: hashlib.sha256(tar.extractfile(item).read()).hexdigest() for item in tar if not item.isdir() and not item.name.endswith('.json')}


@pytest.mark.parametrize('kind', KINDS)
def test_the_image_has_what_makes_it_hard(donor_root_of, kind):
    """Else the other tests would prove less than they say."""
    found = listed(donor_root_of(kind).data_root).values()
    assert {'c', 'd', 'f', 'l', 'p'} <= {item['type'] for item in found}
    assert any('same_as' in item for item in found) and any(item['mode'] & 0o6000 for item in found if item['type'] == 'f')
    assert any('security.capability' in item['xattrs'] for item in found) and any('trusted.overlay.opaque' in item['xattrs'] for item in found)
    assert any('\udcff' in item['path'] for item in found) and any(len(item['path']) > 300 for item in found)
    assert any(item['uid'] == 70000 for item in found)
    assert engines.KINDS[kind].store == 'graphdriver'
