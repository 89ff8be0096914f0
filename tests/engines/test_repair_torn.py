"""Pages of containerd's databases that were torn by a power cut, where they are the only record of images and layers.

LIFEBOAT_SOAK=N: N of them, LIFEBOAT_SOAK_FROM=S: from the seed S on. What may be written anew is a whole tree; everything else is left as it is.
"""
import os

import pytest
from breaking import META, SNAPSHOTS
from rig import fixtures
from test_repair import FROM, SOAK, chance_of, control, judge, small_root_of  # noqa: F401  fixtures

from ansible_collections.lifeboat.docker.plugins.module_utils.formats import boltcheck, boltdb

KINDS = fixtures.wanted(('newer-containerd', 'newer-containerd-packaged') if SOAK else ())
TORN = [(KINDS[seed % len(KINDS)], seed) for seed in range(FROM, FROM + SOAK)] if KINDS else []
SECTOR = 512


def torn(broken, chance):
    """One or two pages of a database have new content up to a sector, and zeros, something old or nothing of sense behind it."""
    done = []
    for dummy in range(chance.randint(1, 2)):
        name = chance.choice((META, SNAPSHOTS))
        path = os.path.join(broken.containerd, name)
        with open(path, 'r+b') as stream:
            raw = stream.read()
            size = boltcheck.geometry(raw)[0]
            commits = boltdb.commits(raw)
            pages = sorted(boltdb.used_pages(commits[0]) if commits else ()) + [0, 1]
            page, sector = chance.choice(pages), chance.randrange(size // SECTOR)
            start, length = page * size + sector * SECTOR, size - sector * SECTOR
            other = chance.choice(pages) * size + sector * SECTOR
            behind = chance.choice((bytes(length), raw[other:other + length], bytes(chance.getrandbits(8) for dummy in range(length))))
            stream.seek(start)
            stream.write(behind)
        done.append('%s page %d from sector %d' % (os.path.basename(path), page, sector))
    return done


@pytest.mark.parametrize('kind, seed', TORN)
def test_torn_pages_of_a_store_are_made_no_worse(small_root_of, control, kind, seed):  # noqa: F811
    judge(small_root_of(kind), control(kind), 'TORN %s %d' % (kind, seed), lambda broken: torn(broken, chance_of(kind, seed)),
          lambda done: {'steps': ['DB_OLDER_TREE']} if seed % 2 else {}, may_refuse=True)
