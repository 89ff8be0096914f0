"""A reader for bbolt files (containerd's and Docker's databases) that survives damage.

The file is a copy-on-write B+tree of pages; pages 0 and 1 are *meta* pages that name the root of the newest and of
the previous commit. There are no checksums but those of the meta pages, so everything else is checked for
plausibility: page ids, bounds, key order, and that no page is used twice. Page and element layouts are those of
bbolt's own ``internal/common``; nothing here depends on what Docker stores.

The whole file is given as bytes: a live writer reuses pages, so it has to be read in one go anyway. Work and memory
are linear in its size, whatever its content says.
"""
import struct
from typing import Any, Iterator, List, NamedTuple, Optional, Set, Tuple, Union

from . import wording

MAGIC = 0xED0CDAED
VERSION = 2
MIN_PAGE_SIZE = 1024
MAX_PAGE_SIZE = 1024 << 14              # the last one that bbolt itself probes for
HEADER = 16                             # page header, branch element and leaf element are 16 bytes each
META_SIZE = 64
BRANCH = 0x01
LEAF = 0x02
BUCKET_FLAG = 0x01
MAX_DEPTH = 64                          # of pages below a bucket, and of buckets below the root
_SHOWN = 100                            # bytes of a key that messages show
MAX_ERRORS = 1000                       # sentences kept; a file full of nonsense must not fill memory


class BoltError(ValueError):
    """The file, or a part of it, cannot be read. The message is one clause: what is wrong and where."""


class Db(object):
    """An opened file. `root` is the top :class:`Bucket`; `warnings` are sentences about what is not as it should be;
    `damage` are the BoltErrors of the commit in use: empty when every page of it can be read. `trouble` is the sentence that whoever believes the
    content must pass on: what of it is damaged, or that it is not the newest; '' where it is all that the engine itself would have."""
    __slots__ = ('raw', 'page_size', 'order', 'txid', 'high_water', 'freelist', 'warnings', 'damage', 'root', 'records', 'trouble')

    def __init__(self, raw: bytes, page_size: int, order: str, meta: '_Meta') -> None:
        self.raw = raw
        self.page_size = page_size
        self.order = order
        self.txid = meta.txid
        self.high_water = meta.high_water
        self.freelist = meta.freelist   # page of the list of free pages
        self.warnings = []
        self.damage = []
        self.trouble = ''
        self.records = Layouts(order)
        self.root = Bucket(self, (), meta.root, None, meta.sequence)


class Layouts(object):
    """The fixed-size records in the byte order of the machine that wrote the file."""
    __slots__ = ('header', 'branch', 'leaf', 'bucket')

    def __init__(self, order: str) -> None:
        self.header = struct.Struct(order + 'QHHI')     # id, flags, count, overflow
        self.branch = struct.Struct(order + 'IIQ')      # pos, ksize, page
        self.leaf = struct.Struct(order + 'IIII')       # flags, pos, ksize, vsize
        self.bucket = struct.Struct(order + 'QQ')       # root page (0: inline), sequence


class _Meta(object):
    __slots__ = ('number', 'order', 'page_size', 'root', 'sequence', 'freelist', 'high_water', 'txid', 'sum_ok')

    def __init__(self, number: int, order: str, page_size: int, root: int, sequence: int, freelist: int, high_water: int, txid: int,
                 sum_ok: bool) -> None:
        self.number = number
        self.order = order
        self.page_size = page_size
        self.root = root
        self.sequence = sequence
        self.freelist = freelist
        self.high_water = high_water
        self.txid = txid
        self.sum_ok = sum_ok


class Bucket(object):
    """A bucket: keys with plain values, and keys with further buckets. Keys come in byte order.

    Every reading method raises :class:`BoltError` at the first damaged page, unless it is given a list ERRORS: then
    the damage is appended there (BoltError, at most MAX_ERRORS) and what is undamaged is still delivered.
    """
    __slots__ = ('_db', 'path', '_page', '_inline', 'sequence')

    def __init__(self, db: Db, path: Tuple[bytes, ...], page: int, inline: Optional[Tuple[int, int]], sequence: int = 0) -> None:
        self._db = db
        self.path = path                # keys from the root down to this bucket
        self._page = page
        self._inline = inline           # (offset, end) in the file of an inline leaf page, else None
        self.sequence = sequence

    def get(self, key: bytes, errors: Optional[List[BoltError]] = None) -> Optional[bytes]:
        """The plain value of KEY as bytes; None if there is none, or if KEY is a bucket."""
        found = self._find(key, errors)
        return None if found is None or found[1] is not None else found[0]

    def bucket(self, *path: bytes, **options: Optional[List[BoltError]]) -> 'Optional[Bucket]':
        """The bucket that PATH (one key a level) leads to, or None. Option: errors=list."""
        errors = options.pop('errors', None)
        if options:
            raise TypeError('unknown option: %s' % ', '.join(sorted(options)))
        here = self
        for key in path:
            found = here._find(key, errors)
            here = None if found is None else found[1]
            if here is None:
                return None
        return here

    def items(self, errors: Optional[List[BoltError]] = None) -> Iterator[Tuple[bytes, Optional[bytes]]]:
        """Yield (key, value); value is None where the key is a bucket."""
        for key, value, bucket in self._leaves(errors):
            yield key, (value if bucket is None else None)

    def buckets(self, errors: Optional[List[BoltError]] = None) -> 'Iterator[Tuple[bytes, Bucket]]':
        """Yield (key, Bucket) for the keys that are buckets."""
        for key, dummy, bucket in self._leaves(errors):
            if bucket is not None:
                yield key, bucket

    def _start(self) -> Union[Tuple[int, int], int]:
        """Where the bucket's root page is, as _read_page() takes it."""
        return self._page if self._inline is None else self._inline

    def _find(self, key: bytes, errors: Optional[List[BoltError]]) -> 'Optional[Tuple[Optional[bytes], Optional[Bucket]]]':
        where = self._start()
        try:
            for dummy in range(MAX_DEPTH):
                kind, elements, trouble = _read_page(self, where)
                if kind == LEAF:
                    for name, value, bucket in elements:
                        if name == key:
                            return value, bucket
                    if trouble is not None:
                        raise trouble
                    return None
                if trouble is not None:
                    _report(trouble, errors)
                where = elements[0][1]
                for separator, child in elements:
                    if separator > key:
                        break
                    where = child
            raise BoltError('%s is nested deeper than %d pages' % (self.name(), MAX_DEPTH))
        except BoltError as exc:
            _report(exc, errors)
            return None

    def _leaves(self, errors: Optional[List[BoltError]]) -> 'Iterator[Tuple[bytes, Optional[bytes], Optional[Bucket]]]':
        """Yield (key, value, Bucket or None) of every leaf below."""
        for page in self._pages(errors, _Seen(self._db)):
            if page.kind == LEAF:
                yield from page.elements

    def _pages(self, errors: Optional[List[BoltError]], seen: '_Seen') -> 'Iterator[_Page]':
        """Yield the :class:`_Page` of every page of this bucket, leaves in key order.

        SEEN: what was visited before, of this bucket and of others.
        """
        stack = [iter([(None, self._start(), None)])]
        while stack:
            step = next(stack[-1], None)
            if step is None:
                stack.pop()
                continue
            low, where, high = step
            try:
                if len(stack) > MAX_DEPTH:
                    raise BoltError('%s is nested deeper than %d pages' % (self.name(), MAX_DEPTH))
                kind, elements, trouble = _read_page(self, where, seen)
            except BoltError as exc:
                _report(exc, errors)
                continue
            if trouble is not None:
                _report(trouble, errors)
            yield _Page(kind, where, elements, low, high)
            if kind == BRANCH:
                # the first key of a branch is not compared with when a key is looked up, so it bounds nothing
                keys = [low] + [element[0] for element in elements[1:]] + [high]
                stack.append(zip(keys, [element[1] for element in elements], keys[1:]))

    def name(self) -> str:
        """How messages call it."""
        if not self.path:
            return 'the root bucket'
        return 'bucket %s' % '/'.join(key[:_SHOWN].decode('utf-8', 'backslashreplace') for key in self.path)


class _Page(NamedTuple):
    """A page as _read_page() gives it, and between which keys (low <= key < high, None: no bound) its keys must be."""
    kind: int
    where: Any
    elements: List[Any]
    low: Optional[bytes]
    high: Optional[bytes]

    def in_order(self) -> bool:
        """Whether every key is where a search looks for it."""
        keys = [element[0] for element in self.elements]
        if any(one >= two for one, two in zip(keys, keys[1:])):
            return False
        if self.kind == BRANCH:
            keys = keys[1:]
        return not keys or ((self.low is None or keys[0] >= self.low) and (self.high is None or keys[-1] < self.high))


class _Seen(object):
    """Pages that were visited, and how many more may be: a page belongs to one place of one tree."""
    __slots__ = ('pages', 'left')

    def __init__(self, db: Db) -> None:
        self.pages: Set[int] = set()
        self.left = len(db.raw) // db.page_size + 1

    def visit(self, page: int, span: int, bucket: Bucket) -> None:
        if page in self.pages or span > self.left:
            raise BoltError('page %d of %s is used twice' % (page, bucket.name()))
        self.pages.add(page)
        self.left -= span


def open_db(raw: bytes) -> Db:
    """Open the bytes of a bbolt file. Returns a :class:`Db`; raises BoltError when it has no usable commit at all.

    The newest commit is used when all its pages can be read, else the one of which more entries can be read (a power
    loss under ``NoSync`` tears the newest only); in case of doubt the whole one. `warnings` says which and why.
    """
    raw = bytes(raw)
    metas = _metas(raw)
    if not metas:
        raise BoltError(_no_meta(raw))
    warnings = []
    good = [meta for meta in metas if meta.sum_ok]
    if good:
        for number in sorted({0, 1} - {meta.number for meta in good}):
            warnings.append('meta page %d is damaged, used the commit that page %d names (transaction %d)'
                            % (number, 1 - number, good[0].txid))
    else:
        good = metas
        warnings.append('no meta page has a checksum, used the best one without')
    candidates = []
    for meta in sorted(good, key=lambda one: one.txid, reverse=True):
        db = Db(raw, meta.page_size, meta.order, meta)
        candidates.append((check(db), not db.damage, db.txid, db))
        if not db.damage:
            break
    newest = candidates[0][3]
    best = max(candidates, key=lambda one: one[:3])[3]
    if best is not newest:
        best.trouble = 'the newest commit (transaction %d) is damaged (%s), used the older one (transaction %d)' % (
            newest.txid, newest.damage[0], best.txid)
        warnings.append(best.trouble)
    if best.high_water * best.page_size > len(raw):
        warnings.append('file is shorter than its high-water mark: %d of %s'
                        % (len(raw), wording.number(best.high_water * best.page_size, 'byte')))
    if best.damage:
        warnings.append('%s%s, the first: %s'
                        % ('at least ' if len(best.damage) >= MAX_ERRORS else '', wording.number(len(best.damage), 'damaged place'), best.damage[0]))
    if best.damage:
        best.trouble = str(best.damage[0])
    best.warnings = warnings
    return best


def commits(raw: bytes) -> List[Db]:
    """Each commit of a file that a meta page with a right checksum names, newest first (at most two).

    Every page of each was read: its `damage` is empty where the whole tree can be. [] if no meta page is right.
    """
    raw = bytes(raw)
    found = [Db(raw, meta.page_size, meta.order, meta) for meta in _metas(raw) if meta.sum_ok]
    found.sort(key=lambda db: db.txid, reverse=True)
    for db in found:
        check(db)
    return found


def used_pages(db: Db) -> Set[int]:
    """Numbers of all pages of the tree of DB, with their overflow pages; of a damaged tree those that can be read."""
    seen, pending, found = _Seen(db), [db.root], set()
    while pending:
        bucket = pending.pop()
        for page in bucket._pages([], seen):
            if not isinstance(page.where, tuple):
                overflow = db.records.header.unpack_from(db.raw, page.where * db.page_size)[3]
                found.update(range(page.where, min(page.where + overflow + 1, db.high_water)))
            if page.kind == LEAF:
                pending.extend(element[2] for element in page.elements if element[2] is not None)
    return found


def check(db: Db) -> int:
    """Read every page that can be reached; fills ``db.damage``. Returns how many entries are readable and in order."""
    errors = []
    seen = _Seen(db)
    pending = [db.root]
    count = 0
    while pending:
        bucket = pending.pop()
        for page in bucket._pages(errors, seen):
            if page.kind == LEAF:
                pending.extend(element[2] for element in page.elements if element[2] is not None)
            if not page.in_order():
                _report(BoltError('the keys of %s are out of order' % _label(bucket, page.where)), errors)
            elif page.kind == LEAF:
                count += len(page.elements)
    db.damage = errors
    return count


def _report(error: BoltError, errors: Optional[List[BoltError]]) -> None:
    if errors is None:
        raise error
    if len(errors) < MAX_ERRORS:
        errors.append(error)


def _label(bucket: Bucket, where: Union[Tuple[int, int], int]) -> str:
    return '%s of %s' % ('the inline page' if isinstance(where, tuple) else 'page %d' % where, bucket.name())


def _read_page(bucket: Bucket, where: Union[Tuple[int, int], int], seen: Optional[_Seen] = None) -> Tuple[int, List[Any], Optional[BoltError]]:
    """Parse one page, and note it in SEEN. WHERE: page id, or (offset, end) of an inline one.

    Returns (BRANCH, [(key, page id)], trouble) or (LEAF, [(key, value, Bucket or None)], trouble); trouble is a
    BoltError about elements that had to be left out, or None. Raises BoltError when nothing of the page is usable.
    """
    db = bucket._db
    raw = db.raw
    if isinstance(where, tuple):
        offset, end = where
        if end - offset < HEADER:
            raise BoltError('%s is cut off' % _label(bucket, where))
        dummy, flags, count, dummy = db.records.header.unpack_from(raw, offset)
        if flags != LEAF:
            raise BoltError('%s is not a leaf page' % _label(bucket, where))
        short = False
    else:
        if not 2 <= where < db.high_water:
            raise BoltError('%s is outside of the database' % _label(bucket, where))
        offset = where * db.page_size
        if offset + HEADER > len(raw):
            raise BoltError('%s lies beyond the end of the file' % _label(bucket, where))
        number, flags, count, overflow = db.records.header.unpack_from(raw, offset)
        if number != where or flags not in (BRANCH, LEAF):
            if not any(raw[offset:offset + db.page_size]):
                raise BoltError('%s is filled with zeros' % _label(bucket, where))
            raise BoltError('%s holds something else' % _label(bucket, where))
        end = offset + (1 + overflow) * db.page_size
        short = where + overflow >= db.high_water or end > len(raw)
        end = min(end, len(raw))
        if seen is not None:
            seen.visit(where, (end - offset + db.page_size - 1) // db.page_size, bucket)
    if flags == BRANCH:
        elements = _branch_elements(db, offset, end, count)
        if not elements:
            raise BoltError('%s has no children' % _label(bucket, where))
    else:
        elements = _leaf_elements(bucket, offset, end, count)
    trouble = None
    if len(elements) < count:
        lost = count - len(elements)
        trouble = BoltError('%d of %d entries of %s are damaged' % (lost, count, _label(bucket, where)))
    elif short:
        trouble = BoltError('%s reaches beyond the end of the database' % _label(bucket, where))
    return flags, elements, trouble


def _branch_elements(db: Db, offset: int, end: int, count: int) -> List[Tuple[bytes, int]]:
    found = []
    room = end - offset - HEADER * (1 + count)      # keys do not overlap, so together they fit
    for at in range(offset + HEADER, min(offset + HEADER * (1 + count), end - HEADER + 1), HEADER):
        pos, ksize, page = db.records.branch.unpack_from(db.raw, at)
        if at + pos + ksize > end or ksize > room or not 2 <= page < db.high_water:
            continue
        room -= ksize
        found.append((db.raw[at + pos:at + pos + ksize], page))
    return found


def _leaf_elements(bucket: Bucket, offset: int, end: int, count: int) -> List[Tuple[bytes, Optional[bytes], Optional[Bucket]]]:
    db = bucket._db
    raw = db.raw
    unpack = db.records.leaf.unpack_from
    found: List[Tuple[bytes, Optional[bytes], Optional[Bucket]]] = []
    room = end - offset - HEADER * (1 + count)      # keys and values do not overlap, so together they fit
    for at in range(offset + HEADER, min(offset + HEADER * (1 + count), end - HEADER + 1), HEADER):
        flags, pos, ksize, vsize = unpack(raw, at)
        start = at + pos
        middle = start + ksize
        stop = middle + vsize
        if not ksize or pos < HEADER or stop > end or ksize + vsize > room:
            continue                    # bbolt stores no empty key
        room -= ksize + vsize
        key = raw[start:middle]
        if flags & BUCKET_FLAG:
            child = _child(bucket, key, middle, stop)
            if child is not None:
                found.append((key, None, child))
        else:
            found.append((key, raw[middle:stop], None))
    return found


def _child(parent: Bucket, key: bytes, start: int, stop: int) -> Optional[Bucket]:
    db = parent._db
    if stop - start < db.records.bucket.size or len(parent.path) >= MAX_DEPTH:
        return None
    page, sequence = db.records.bucket.unpack_from(db.raw, start)
    inline = None if page else (start + db.records.bucket.size, stop)
    return Bucket(db, parent.path + (key,), page, inline, sequence)


def _metas(raw: bytes) -> List[_Meta]:
    """The meta pages that can be used: plausible, with a right checksum (or with none, as very old writers left it)."""
    first = _meta(raw, 0, 0)
    if first is not None:
        second = _meta(raw, first.page_size, 1)
        return [first] + ([second] if second is not None and second.page_size == first.page_size else [])
    size = MIN_PAGE_SIZE
    while size <= MAX_PAGE_SIZE:
        second = _meta(raw, size, 1)
        if second is not None and second.page_size == size:
            return [second]
        size *= 2
    return []


def _meta(raw: bytes, offset: int, number: int) -> Optional[_Meta]:
    start = offset + HEADER
    if start + META_SIZE > len(raw):
        return None
    for order in '<>':
        (magic, version, page_size, dummy, root, sequence, freelist, high_water, txid, checksum) = \
            struct.unpack_from(order + 'IIIIQQQQQQ', raw, start)
        if magic != MAGIC:
            continue
        if version != VERSION or page_size & (page_size - 1) or not MIN_PAGE_SIZE <= page_size <= MAX_PAGE_SIZE:
            return None
        sum_ok = checksum == fnv1a(raw[start:start + META_SIZE - 8])
        if not sum_ok and checksum != 0:
            return None
        return _Meta(number, order, page_size, root, sequence, freelist, high_water, txid, sum_ok)
    return None


def _no_meta(raw: bytes) -> str:
    if not raw:
        return 'the database is empty (0 bytes)'
    if not any(raw[:MIN_PAGE_SIZE]) and not raw.strip(b'\0'):
        return 'the database is filled with NUL bytes (power loss before write-back)'
    if len(raw) < HEADER + META_SIZE:
        return 'the database is cut off at byte %d' % len(raw)
    return 'not a bbolt database, or both of its meta pages are damaged'


def fnv1a(raw: bytes) -> int:
    """FNV-1a, 64 bits: the checksum of a meta page."""
    value = 0xcbf29ce484222325
    for byte in raw:
        value = ((value ^ byte) * 0x100000001b3) & 0xffffffffffffffff
    return value
