"""Hostile bundles: one sentence, never a traceback, never a byte outside of the target, in bounded time and memory."""
import errno
import json
import os
import random
import resource
import sys
import time

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.archive import removal
from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import info, source
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.restore import plan, run
from ansible_collections.lifeboat.docker.tests.unit.restore import hostile

SECONDS = 30                            # of processor time for one bundle, all ways; most take a few milliseconds
MEMORY = 1 << 30                        # bytes of address space that one may add
LONGEST = 4000                          # characters of a sentence
SEEDS = int(os.environ.get('LIFEBOAT_SOAK') or 40)


sys.setrecursionlimit(20000)            # os.walk of Python 3.6 to 3.11 in snapshot()


def snapshot(top, without=()):
    """Everything below TOP but the folders WITHOUT, in a form that shows any change."""
    found = {}
    for folder, names, files in os.walk(str(top)):
        names[:] = sorted(name for name in names if os.path.join(folder, name) not in without)
        for name in files + names + ['.']:
            path = os.path.join(folder, name)
            try:
                st = os.lstat(path)
            except OSError as exc:      # deeper than a path can say
                assert exc.errno == errno.ENAMETOOLONG
                continue
            content = None
            if os.path.isfile(path) and not os.path.islink(path) and st.st_size < 1 << 20:
                with open(path, 'rb') as handle:
                    content = handle.read()
            times = st.st_mtime_ns if path != os.path.join(str(top), '.') else None     # the target comes and goes in it
            found[path] = (st.st_mode, st.st_uid, st.st_gid, st.st_nlink if not os.path.isdir(path) else 0, times, content)
    return found


@pytest.fixture
def ground(tmp_path):
    """tmp_path with what nobody may touch, and a limit of memory for the test."""
    (tmp_path / 'outside').mkdir()
    (tmp_path / 'outside' / 'secret').write_bytes(b'untouched')
    (tmp_path / 'outside' / 'copy').write_bytes(hostile.DATA)
    with open('/proc/self/statm') as handle:
        used = int(handle.read().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, hard))
    yield tmp_path
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    removal.remove(os.fsencode(str(tmp_path)))


def said(call):
    """(result, sentence) of CALL: one of them is None. Any other error than ours comes through."""
    try:
        return call(), None
    except LifeboatError as exc:
        sentence = str(exc)
        assert sentence.isprintable() and 10 < len(sentence) < LONGEST, sentence
        return None, sentence


def printable(value):
    """Every text in a result may go to a terminal."""
    if isinstance(value, dict):
        return all(printable(key) and printable(item) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return all(map(printable, value))
    return not isinstance(value, str) or value.isprintable()


def attempt(ground, make, seed=None):
    """Everything that is done with a bundle, on one made by MAKE(Draft) -> sentences of a restore in check mode and a real one."""
    place, dest = ground / 'bundle', ground / 'dest'
    place.mkdir()
    draft = hostile.Draft()
    make(draft)
    draft.write(str(place))
    before = snapshot(ground, (str(dest),))
    started = time.process_time() + sum(os.times()[2:4])
    for verify in (True, False):
        found, dummy = said(lambda verify=verify: info.inspect(os.fsencode(str(ground)), verify))
        assert printable(found) and (found is None or len(json.dumps(found)) < 1 << 20)
    options = plan.Options(path=os.fsencode(str(place)), target='directory', dest=os.fsencode(str(dest)),
                           restore=('image', 'volumes', 'container'))
    tried, check = said(lambda: run.restore(options._replace(check=True)))
    assert not dest.exists() and printable(tried)
    result, sentence = said(lambda: run.restore(options))
    assert printable(result)
    if sentence is not None:
        assert not dest.exists() or os.listdir(str(dest)) == [], 'a restore that failed left something'
    else:
        for folder in ('volumes', 'binds'):
            for name in os.listdir(str(dest / folder)) if (dest / folder).exists() else ():
                assert not os.path.islink(str(dest / folder / name)) and '.lifeboat-partial' not in name
    assert snapshot(ground, (str(dest),)) == before
    assert time.process_time() + sum(os.times()[2:4]) - started < SECONDS
    return check, sentence


def test_the_bundle_that_all_are_made_from_is_good(ground):
    assert attempt(ground, lambda draft: None) == (None, None)
    assert (ground / 'dest' / 'volumes' / 'data' / 'd' / 'b').read_bytes() == b'more'
    assert (ground / 'dest' / 'binds' / '01-srv' / 'a').read_bytes() == (ground / 'dest' / 'rootfs' / 'a').read_bytes() == b'data'
    found = source.read(os.fsencode(str(ground / 'bundle')))
    assert plan.read_images(found)[1].references == ('lifeboat/web:0123',)


def test_there_are_enough():
    assert len(hostile.REFUSED) >= 93


@pytest.mark.parametrize('case', sorted(hostile.REFUSED))
def test_refused_in_one_sentence(case, ground):
    check, real = attempt(ground, hostile.REFUSED[case])
    assert real
    # what only the file system can tell is found out by unpacking
    assert check or case in ('archive: hard link to nothing', 'archive: same file twice', 'archive: holes of an exabyte',
                             'archive: a member of an exabyte') or case.startswith('bind: its only member')


@pytest.mark.parametrize('case', sorted(hostile.HARMLESS))
def test_harmless_or_refused(case, ground):
    attempt(ground, hostile.HARMLESS[case])


@pytest.mark.parametrize('case', sorted(hostile.IMAGES))
def test_images_that_contradict_themselves(case, ground):
    place = ground / 'bundle'
    place.mkdir()
    draft = hostile.Draft()
    hostile.image(hostile.IMAGES[case])(draft)
    draft.write(str(place))
    found = source.read(os.fsencode(str(place)))
    assert said(lambda: plan.read_images(found))[1]


# -- at random ---------------------------------------------------------------------------------------------------------------

VALUES = (None, True, 0, -1, 1 << 63, 10 ** 100, 1.5, '', 'x', '/', '..', '../x', '\0', '\n', hostile.ESCAPES, 'x' * 300, '\ud800', [], {}, [[]],
          {'a': {}}, ['x'], 'volume', 'volume:data', 'volumes/data.tar', 'complete')


def nodes(value, found=None):
    """[(container, key)] of everything in a JSON value."""
    found = [] if found is None else found
    for key, item in list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else ():
        found.append((value, key))
        nodes(item, found)
    return found


def mutate(chance, draft):
    for dummy in range(chance.choice((1, 1, 2, 5))):
        how = chance.randrange(6)
        name = chance.choice(sorted(draft.files))
        if how < 2:
            container, key = chance.choice(nodes(draft.manifest))
            container[key] = chance.choice(VALUES)
        elif how == 2:
            data = bytearray(draft.files[name])
            for dummy in range(chance.choice((1, 3, 50))):
                if data:
                    data[chance.randrange(len(data))] = chance.randrange(256)
            draft.files[name] = bytes(data)
        elif how == 3:
            draft.files['volumes/data.tar'] = header_damage(chance, draft.files.get('volumes/data.tar', hostile.DATA))
        elif how == 4:
            draft.files[name] = draft.files[name][:chance.randrange(len(draft.files[name]) + 1)]
        else:
            draft.files[name] = draft.files[chance.choice(sorted(draft.files))]


def header_damage(chance, raw):
    """One header of an archive changed, with its checksum right again."""
    blocks = [at for at in range(0, len(raw) - 512, 512) if raw[at + 257:at + 262] == b'ustar']
    if not blocks:
        return raw
    at = chance.choice(blocks)
    start, size = chance.choice(((0, 100), (100, 8), (108, 8), (116, 8), (124, 12), (136, 12), (156, 1), (157, 100), (329, 8), (345, 155)))
    value = chance.choice((b'/etc/x', b'../x', b'./a', b'l/x', b'0000007\0', b'\x80' + b'\xff' * 11, b'x', b'L', b'2', b'1', b'S', b'7777777\0',
                           bytes(size), bytes(chance.randrange(256) for dummy in range(size))))[:size]
    return raw[:at] + hostile.resummed(raw[at:], start, value)


@pytest.mark.parametrize('seed', range(SEEDS))
def test_random_damage(seed, ground):
    """More of them: LIFEBOAT_SOAK=5000 python -m pytest tests/unit/restore/test_hostile.py -k random"""
    chance = random.Random(seed)
    attempt(ground, lambda draft: mutate(chance, draft))
