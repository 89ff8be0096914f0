"""Writes a bbolt file anew: what could be read of a damaged one, in a form that every bbolt opens.

Each bucket is one leaf page with as many overflow pages as it needs; one with more keys than a page can count is a tree.
What the reader's layout notes say holds here too.
**The sequence of every bucket is kept**: containerd numbers its snapshots by it, and a number that is used twice mixes two
containers' layers.
"""
import struct
from typing import Any, Dict, List, NamedTuple, Tuple

from . import boltdb

META, FREELIST = 0x04, 0x10
MAX_KEYS = 0xFFFF - 1                   # the count of a page has 16 bits
SPLIT = 1000                            # of a bucket with more: keys of a page
_FIRST = 3                              # pages 0 and 1 are meta pages, 2 is the (empty) list of free pages


class Tree(NamedTuple):
    """A bucket: `entries` is {key: bytes (a value) or Tree (a bucket)}."""
    entries: Dict[bytes, Any]
    sequence: int = 0


def tree_of(bucket: boltdb.Bucket) -> Tree:
    """Everything below a bucket that was read. Raises boltdb.BoltError at the first damaged page."""
    entries: Dict[bytes, Any] = {key: value for key, value in bucket.items() if value is not None}
    for key, inner in bucket.buckets():
        entries[key] = tree_of(inner)
    return Tree(entries, bucket.sequence)


def encode(tree: Tree, page_size: int, order: str = '<', txid: int = 2) -> bytes:
    """The bytes of a database that holds TREE.

    PAGE_SIZE and ORDER ('<' or '>') are those of the file that it replaces: bbolt takes the size from the file, but the order of
    bytes from the machine. TXID is that of the newer meta page; both pages name the same tree.
    """
    return b''.join(pieces(tree, page_size, order, txid))


def pieces(tree: Tree, page_size: int, order: str = '<', txid: int = 2) -> List[bytes]:
    """The same in pieces, for what is large."""
    pages = _Pages(page_size, order)
    root = pages.bucket(tree)
    head = [pages.meta(number, root, tree.sequence, txid - (txid + number) % 2) for number in (0, 1)]
    free = pages.page(2, FREELIST, 0, b'')
    return head + [free] + pages.done


class _Pages(object):
    """Pages handed out one after another."""
    __slots__ = ('size', 'order', 'done', 'next', 'records')

    def __init__(self, size: int, order: str) -> None:
        self.size = size
        self.order = order
        self.records = boltdb.Layouts(order)
        self.done: List[bytes] = []
        self.next = _FIRST

    def page(self, number: int, flags: int, count: int, body: bytes) -> bytes:
        used = boltdb.HEADER + len(body)
        whole = max(1, -(-used // self.size))
        return self.records.header.pack(number, flags, count, whole - 1) + body + b'\0' * (whole * self.size - used)

    def bucket(self, tree: Tree) -> int:
        """Store TREE, its buckets first; returns the number of its page."""
        items: List[Tuple[int, bytes, bytes]] = []
        for key, value in sorted(tree.entries.items()):
            if isinstance(value, Tree):
                items.append((boltdb.BUCKET_FLAG, key, self.records.bucket.pack(self.bucket(value), value.sequence)))
            else:
                items.append((0, key, value))
        most = MAX_KEYS if len(items) <= MAX_KEYS else SPLIT
        level = [(items[at][1] if items else b'', self._store(boltdb.LEAF, len(items[at:at + most]), self.leaf(items[at:at + most])))
                 for at in range(0, len(items) or 1, most)]
        while len(level) > 1:
            level = [(level[at][0], self._store(boltdb.BRANCH, len(level[at:at + SPLIT]), self.branch(level[at:at + SPLIT])))
                     for at in range(0, len(level), SPLIT)]
        return level[0][1]

    def _store(self, flags: int, count: int, body: bytes) -> int:
        number = self.next
        raw = self.page(number, flags, count, body)
        self.next += len(raw) // self.size
        self.done.append(raw)
        return number

    def branch(self, children: List[Tuple[bytes, int]]) -> bytes:
        """The first key and the number of the page of each child, as leaf() puts them."""
        elements, data = [], []
        position = boltdb.HEADER * len(children)
        for key, number in children:
            elements.append(self.records.branch.pack(position - boltdb.HEADER * len(elements), len(key), number))
            data.append(key)
            position += len(key)
        return b''.join(elements + data)

    def leaf(self, items: List[Tuple[int, bytes, bytes]]) -> bytes:
        """Elements, then keys and values; a position counts from its element."""
        elements, data = [], []
        position = boltdb.HEADER * len(items)
        for flags, key, value in items:
            elements.append(self.records.leaf.pack(flags, position - boltdb.HEADER * len(elements), len(key), len(value)))
            data.append(key + value)
            position += len(key) + len(value)
        return b''.join(elements + data)

    def meta(self, number: int, root: int, sequence: int, txid: int) -> bytes:
        body = struct.pack(self.order + 'IIIIQQQQQ', boltdb.MAGIC, boltdb.VERSION, self.size, 0, root, sequence, 2, self.next, txid)
        return self.page(number, META, 0, body + struct.pack(self.order + 'Q', boltdb.fnv1a(body)))
