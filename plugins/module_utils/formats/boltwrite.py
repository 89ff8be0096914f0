"""Writes a bbolt file anew: what could be read of a damaged one, in a form that every bbolt opens.

Each bucket is one leaf page with as many overflow pages as it needs. What the reader's layout notes say holds here too.
**The sequence of every bucket is kept**: containerd numbers its snapshots by it, and a number that is used twice mixes two
containers' layers.
"""
import struct
from typing import Any, Dict, List, NamedTuple, Tuple

from . import boltdb

META, FREELIST = 0x04, 0x10
MAX_KEYS = 0xFFFF - 1                   # the count of a page has 16 bits
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
    bytes from the machine. TXID is that of the newer meta page; both pages name the same tree. ValueError if a bucket has more
    keys than one page can count.
    """
    pages = _Pages(page_size, order)
    root = pages.bucket(tree)
    head = [pages.meta(number, root, tree.sequence, txid - (txid + number) % 2) for number in (0, 1)]
    free = pages.page(2, FREELIST, 0, b'')
    return b''.join(head + [free] + pages.done)


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
        if len(items) > MAX_KEYS:
            raise ValueError('a bucket has more than %d keys' % MAX_KEYS)
        number = self.next
        raw = self.page(number, boltdb.LEAF, len(items), self.leaf(items))
        self.next += len(raw) // self.size
        self.done.append(raw)
        return number

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
