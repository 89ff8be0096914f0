"""The union view against the kernel's own overlayfs: random trees, random operations, three sets of mount options."""
import hashlib
import os
import random
import shutil
import stat
import subprocess

import needs  # noqa: F401  pylint: disable=unused-import
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.disk.tree import Failure
from ansible_collections.lifeboat.docker.plugins.module_utils.layers import changes, union
from ansible_collections.lifeboat.docker.plugins.module_utils.records import model

NAMES = [b'a', b'b', b'c', b'd\xff', b'e\nf', b'.wh.x', b'g']
OPTIONS = ['index=off', 'index=off,redirect_dir=on', 'index=off,redirect_dir=on,metacopy=on']


def folders(top):
    return [path for path, dirs, files in os.walk(top)]


def pick(rng, top):
    return os.path.join(rng.choice(folders(top)), rng.choice(NAMES))


def mutate(rng, top, steps):
    """Random changes by ordinary system calls, as a container would make them."""
    for dummy in range(steps):
        path, other = pick(rng, top), pick(rng, top)
        what = rng.randrange(10)
        try:
            if what <= 2:
                with open(path, 'wb') as out:
                    out.write(os.urandom(rng.choice([0, 3, 5000])))
            elif what == 3:
                os.mkdir(path)
            elif what == 4:
                os.unlink(path)
            elif what == 5:
                shutil.rmtree(path)
                if rng.random() < 0.6:
                    os.mkdir(path)      # replaced: opaque
            elif what == 6:
                os.rename(path, other)
            elif what == 7:
                os.chmod(path, rng.choice([0o600, 0o755, 0o4711]))
            elif what == 8:
                os.symlink(b'../x', path)
            else:
                os.link(path, other)
        except OSError:
            pass


def describe(mode, size, digest):
    return (oct(mode), size if not stat.S_ISDIR(mode) else 0, digest)


def listing_by_kernel(top):
    found = {}
    for path, dirs, files in os.walk(top):
        for name in dirs + files:
            full = os.path.join(path, name)
            st = os.lstat(full)
            digest = None
            if stat.S_ISREG(st.st_mode):
                with open(full, 'rb') as data:
                    digest = hashlib.sha256(data.read()).hexdigest()
            elif stat.S_ISLNK(st.st_mode):
                digest = os.readlink(full)
            found[os.path.relpath(full, top)] = describe(st.st_mode, st.st_size, digest)
    return found


def listing_by_us(entries):
    found = {}
    previous = None
    for entry in entries:
        assert not isinstance(entry, Failure), entry
        key = entry.path.split(b'/')
        assert previous is None or previous < key, 'order'
        previous = key
        digest = None
        if stat.S_ISREG(entry.st.st_mode):
            fd = entry.open()
            with os.fdopen(fd, 'rb') as data:
                digest = hashlib.sha256(data.read()).hexdigest()
        elif stat.S_ISLNK(entry.st.st_mode):
            digest = entry.readlink()
        assert not any('overlay' in name for name in entry.xattrs())
        found[entry.path] = describe(entry.st.st_mode, entry.st.st_size, digest)
    return found


def naive_diff(old, new):
    """Docker's rules over two listings made by the kernel."""
    found = set()

    def touch_parents(path):
        parent = os.path.dirname(path)
        while parent:
            if parent in old and parent in new and ('A', parent) not in found:
                found.add(('C', parent))
            parent = os.path.dirname(parent)

    for path in new:
        if path not in old:
            found.add(('A', path))
            touch_parents(path)
    for path in old:
        if path not in new:
            parent = os.path.dirname(path)
            if parent and not (parent in new and new[parent][0].startswith('0o4')):
                continue
            found.add(('D', path))
            touch_parents(path)
    return found


def overlay(lowers, upper, work, target, options):
    data = b'lowerdir=%s,upperdir=%s,workdir=%s,%s' % (b':'.join(lowers), upper, work, options.encode())
    subprocess.check_call(['mount', '-t', 'overlay', 'overlay', '-o', data, target])


@pytest.mark.parametrize('options', OPTIONS)
@pytest.mark.parametrize('seed', range(12))
def test_equals_the_kernel(tmp_path, seed, options):
    rng = random.Random('%s-%s' % (seed, options))
    base = os.fsencode(str(tmp_path))
    layers = [os.path.join(base, b'l0')]
    os.mkdir(layers[0])
    mutate(rng, layers[0], 40)
    target = os.path.join(base, b'm')
    os.mkdir(target)
    views, writes = [], []
    for number in range(1, 5):
        upper, work = os.path.join(base, b'l%d' % number), os.path.join(base, b'w%d' % number)
        os.mkdir(upper)
        os.mkdir(work)
        overlay(layers, upper, work, target, options)
        mutate(rng, target, 25)
        subprocess.check_call(['umount', target])
        layers.insert(0, upper)
        subprocess.check_call(['mount', '-t', 'overlay', 'overlay', '-o',
                               b'ro,lowerdir=%s,%s' % (b':'.join(layers), options.replace('index=off,', '')
                                                       .replace('index=off', 'xino=off').encode()), target])
        views.append(listing_by_kernel(target))
        writes.append(subprocess.check_output(['stat', '-c', '%a', target]))
        subprocess.check_call(['umount', target])
    records = [model.Layer(path, model.OVERLAY) for path in layers]
    with union.View(records) as view:
        assert listing_by_us(view.entries()) == views[-1]
    with union.View(records[1:]) as view:
        assert listing_by_us(view.entries()) == views[-2]
    stack = model.Stack(records[0], None, tuple(records[1:]))
    ours = {}
    for change in changes.changes(stack):
        assert (change.path not in ours), 'listed twice'
        ours[change.path] = change.kind
    expected = naive_diff(views[-2], views[-1])
    kinds = {path: kind for kind, path in expected}
    for path, kind in kinds.items():
        if kind != 'C':
            assert ours.get(path) == kind, path
    assert {p for p, k in ours.items() if k != 'C'} == {p for p, k in kinds.items() if k != 'C'}
    for path in kinds:
        assert path in ours
    # what is C in ours only must differ in something the listing does not show (times, inode metadata)
    for path in set(ours) - set(kinds):
        assert path in views[-1] and path in views[-2]
    # applying the layer by OCI rules gives the view again
    applied = dict(views[-2])
    with union.View(records) as view:
        for entry in list_layer(view):
            gone = [path for path in applied if path == entry[0] or path.startswith(entry[0] + b'/')]
            if entry[1] == 'whiteout':
                for path in gone:
                    del applied[path]
            else:
                if entry[1] == 'opaque' or not entry[2][0].startswith('0o4'):
                    for path in gone:
                        del applied[path]
                applied[entry[0]] = entry[2]
    assert applied == views[-1]


def list_layer(view):
    found = []
    for entry in view.layer_entries():
        assert not isinstance(entry, Failure), entry
        if entry.whiteout:
            found.append((entry.path, 'whiteout', None))
            continue
        digest = None
        if stat.S_ISREG(entry.st.st_mode):
            with os.fdopen(entry.open(), 'rb') as data:
                digest = hashlib.sha256(data.read()).hexdigest()
        elif stat.S_ISLNK(entry.st.st_mode):
            digest = entry.readlink()
        found.append((entry.path, 'opaque' if entry.opaque else '',
                      describe(entry.st.st_mode, entry.st.st_size, digest)))
    return found
