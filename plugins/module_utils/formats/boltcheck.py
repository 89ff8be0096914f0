"""Would bbolt open this file, and what of it can be saved?

bbolt trusts its files: a page that is not what it should be ends the daemon with a panic, often long after the start. So the
whole tree is walked, and the list of free pages too: a bad list alone is such a panic, although nothing is lost.
"""
import struct
from typing import Iterator, List, NamedTuple, Optional, Tuple

from . import boltdb

GOOD = 'good'
FREE_LIST = 'free list'                 # the tree is whole, the list of free pages is not
OLDER = 'older'                         # only the tree before the last transaction is whole
DAMAGED = 'damaged'                     # no tree is whole
NO_LIST = 0xFFFFFFFFFFFFFFFF            # written without a list of free pages
_PAGE_SIZES = (4096, 65536, 16384, 8192)
_MAX_KEY = 32768                        # bbolt's own limit


class Verdict(NamedTuple):
    """`db` is the commit whose whole tree may be written anew, None where there is none. `why` is a clause."""
    state: str
    why: str
    db: Optional[boltdb.Db]


def judge(raw: bytes) -> Verdict:
    """Verdict on the bytes of a bbolt file."""
    found = boltdb.commits(raw)
    if not found:
        return Verdict(DAMAGED, 'no meta page is right', None)
    newest = found[0]
    if newest.damage:
        older = next((db for db in found[1:] if not db.damage), None)
        if older is None:
            return Verdict(DAMAGED, str(newest.damage[0]), None)
        return Verdict(OLDER, 'the newest tree is damaged (%s)' % newest.damage[0], older)
    if newest.high_water * newest.page_size > len(newest.raw):
        return Verdict(FREE_LIST, 'the file is shorter than it says, but no page with data is missing', newest)
    why = free_list_damage(newest)
    return Verdict(FREE_LIST if why else GOOD, why, newest)


def free_list_damage(db: boltdb.Db) -> str:
    """'' or why bbolt would stop at the list of free pages of this commit."""
    if db.freelist == NO_LIST:
        return ''
    at = db.freelist * db.page_size
    if not 2 <= db.freelist < db.high_water or at + boltdb.HEADER > len(db.raw):
        return 'the list of free pages is outside of the file'
    number, flags, count, overflow = db.records.header.unpack_from(db.raw, at)
    if number != db.freelist or flags != 0x10:
        return 'the page of the list of free pages holds something else'
    if db.freelist + overflow >= db.high_water:     # bbolt would free that many pages one by one
        return 'the list of free pages reaches beyond the end of the database'
    start, stop = at + boltdb.HEADER, at + (1 + overflow) * db.page_size
    if count == 0xFFFF and start + 8 <= len(db.raw):    # more than 16 bits can count
        count = struct.unpack_from(db.order + 'Q', db.raw, start)[0]
        start += 8
    if start + 8 * count > min(stop, len(db.raw)):
        return 'the list of free pages is cut off'
    ids = struct.unpack_from('%s%dQ' % (db.order, count), db.raw, start)
    if any(not 2 <= one < db.high_water for one in ids) or any(one >= two for one, two in zip(ids, ids[1:])):
        return 'the list of free pages names pages that cannot be free'
    taken = boltdb.used_pages(db) | set(range(db.freelist, db.freelist + overflow + 1))
    if not taken.isdisjoint(ids):
        return 'the list of free pages names pages that hold data'
    return ''


def geometry(raw: bytes) -> Tuple[int, str]:
    """(page size, byte order) of a file, also of one without a right meta page; (4096, '<') where nothing tells."""
    found = boltdb.commits(raw)
    if found:
        return found[0].page_size, found[0].order
    best = max(((_pages_that_fit(raw, size, order), -place, size, order) for place, size in enumerate(_PAGE_SIZES)
                for order in '<>'), key=lambda one: one[:2])
    return (best[2], best[3]) if best[0] else (4096, '<')


def _pages_that_fit(raw: bytes, size: int, order: str) -> int:
    header = boltdb.Layouts(order).header
    return sum(header.unpack_from(raw, at)[:2] == (at // size, boltdb.LEAF) for at in range(2 * size, len(raw) - boltdb.HEADER, size))


def salvage(raw: bytes) -> Iterator[Tuple[bytes, bytes]]:
    """Yield (key, value) of each element of each leaf page that looks whole, whatever tree it belonged to.

    Pages of old transactions are among them, in no order of time: the caller chooses by what a value says. Elements of
    small buckets (inside of their parent's page) come with their own key.
    """
    size, order = geometry(raw)
    layouts = boltdb.Layouts(order)
    for at in range(2 * size, len(raw) - boltdb.HEADER, size):
        number, flags, count, overflow = layouts.header.unpack_from(raw, at)
        stop = at + (1 + overflow) * size
        if number == at // size and flags == boltdb.LEAF and stop <= len(raw):
            yield from _elements(layouts, raw, at, stop, count, True)


def _elements(layouts: boltdb.Layouts, raw: bytes, at: int, stop: int, count: int, outer: bool) -> Iterator[Tuple[bytes, bytes]]:
    for here in range(at + boltdb.HEADER, min(at + boltdb.HEADER * (1 + count), stop - boltdb.HEADER + 1), boltdb.HEADER):
        flags, pos, ksize, vsize = layouts.leaf.unpack_from(raw, here)
        start = here + pos
        if not 0 < ksize <= _MAX_KEY or start + ksize + vsize > stop:
            continue
        middle, end = start + ksize, start + ksize + vsize
        if not flags & boltdb.BUCKET_FLAG:
            yield raw[start:middle], raw[middle:end]
        elif outer and vsize >= layouts.bucket.size + boltdb.HEADER and not layouts.bucket.unpack_from(raw, middle)[0]:
            inline = middle + layouts.bucket.size
            dummy, kind, inner, dummy = layouts.header.unpack_from(raw, inline)
            if kind == boltdb.LEAF:
                yield from _elements(layouts, raw, inline, end, inner, False)


def pairs(raw: bytes) -> List[Tuple[bytes, bytes]]:
    """All that :func:`salvage` yields."""
    return list(salvage(raw))
