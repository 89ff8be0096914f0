"""Owner ids of user namespaces: from the number on the disk back to the one that the container saw.

Sources: subuid(5); moby daemon_unix.go and user/idtools (userns-remap: the user's ranges one after another, container
id 0 at the start of the first); RootlessKit (id 0 is the user, 1 and up its subordinate ranges);
linux/capability.h (struct vfs_ns_cap_data); linux/posix_acl_xattr.h.
"""
import struct
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

DEFAULT_COUNT = 65536                   # what useradd and Docker's own dockremap get
MAX_ID = 0xffffffff                     # (uid_t)-1: no id
CAPABILITY = 'security.capability'
ACLS = ('system.posix_acl_access', 'system.posix_acl_default')

_CACHE = 4096
_ACL_USER, _ACL_GROUP = 0x02, 0x08


class Range(NamedTuple):
    """COUNT consecutive ids."""
    container: int
    host: int
    count: int                          # type: ignore[assignment]


class IdMap(object):
    """Ranges of users and of groups. Ids that no range holds stay as they are.

    `assumed`: the ranges' length was not found and the usual one is taken; worth telling.
    """

    def __init__(self, uid_ranges: Iterable[Sequence[int]], gid_ranges: Iterable[Sequence[int]], assumed: bool = False) -> None:
        self.uid_ranges = tuple(Range(*found) for found in uid_ranges)
        self.gid_ranges = tuple(Range(*found) for found in gid_ranges)
        self.assumed = assumed
        self._pairs: Dict[Tuple[int, int], Tuple[int, int]] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IdMap) and (self.uid_ranges, self.gid_ranges) == (other.uid_ranges, other.gid_ranges)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((self.uid_ranges, self.gid_ranges))

    def __repr__(self) -> str:
        return 'IdMap(%r, %r)' % (self.uid_ranges, self.gid_ranges)

    @property
    def first(self) -> Optional[str]:
        """`uid:gid` on the disk of what the map names first, which is the container's root; None for an empty map."""
        if not self.uid_ranges or not self.gid_ranges:
            return None
        return '%d:%d' % (self.uid_ranges[0].host, self.gid_ranges[0].host)

    def to_container(self, uid: int, gid: int) -> Tuple[int, int]:
        """(uid, gid) as the container saw them."""
        pair = self._pairs.get((uid, gid))
        if pair is None:
            new_uid = _shift(self.uid_ranges, uid)
            new_gid = _shift(self.gid_ranges, gid)
            pair = (uid if new_uid is None else new_uid, gid if new_gid is None else new_gid)
            if len(self._pairs) >= _CACHE:
                self._pairs.clear()
            self._pairs[uid, gid] = pair
        return pair

    def xattrs(self, found: Dict[str, bytes]) -> Dict[str, bytes]:
        """{name: value} with the ids inside file capabilities and POSIX ACLs changed likewise."""
        if CAPABILITY not in found and ACLS[0] not in found and ACLS[1] not in found:
            return found
        found = dict(found)
        if CAPABILITY in found:
            found[CAPABILITY] = self._capability(found[CAPABILITY])
        for name in ACLS:
            if name in found:
                found[name] = self._acl(found[name])
        return found

    def _capability(self, value: bytes) -> bytes:
        if len(value) != 24 or value[3] != 3:
            return value
        root = _shift(self.uid_ranges, struct.unpack('<I', value[20:])[0])
        if root is None:
            return value
        return revision2(value) if root == 0 else value[:20] + struct.pack('<I', root)

    def _acl(self, value: bytes) -> bytes:
        if len(value) < 4 or (len(value) - 4) % 8:
            return value
        entries = [value[:4]]
        for tag, permissions, number in struct.iter_unpack('<HHI', value[4:]):
            if tag in (_ACL_USER, _ACL_GROUP):
                new = _shift(self.uid_ranges if tag == _ACL_USER else self.gid_ranges, number)
                number = number if new is None else new
            entries.append(struct.pack('<HHI', tag, permissions, number))
        return b''.join(entries)


def _shift(ranges: Iterable[Range], number: int) -> Optional[int]:
    for found in ranges:
        if 0 <= number - found.host < found.count:
            return found.container + number - found.host
    return None


def revision2(value: bytes) -> bytes:
    """A security.capability value without the user namespace it belongs to; others unchanged."""
    if len(value) == 24 and value[3] == 3:
        return value[:3] + b'\x02' + value[4:20]
    return value


def parse_subids(text: bytes) -> List[Tuple[bytes, int, int]]:
    """[(owner, start, count)] of /etc/subuid or /etc/subgid (bytes), in file order, without nonsensical lines."""
    found = []
    for line in text.split(b'\n'):
        parts = line.strip().split(b':')
        if len(parts) != 3 or not parts[0] or parts[0].startswith(b'#'):
            continue
        if not (parts[1].isdigit() and parts[2].isdigit() and len(parts[1]) < 11 and len(parts[2]) < 11):
            continue
        start, count = int(parts[1]), int(parts[2])
        if count and start + count <= MAX_ID:
            found.append((parts[0], start, count))
    return found


def _chain(start: int, ranges: Iterable[Tuple[int, int]]) -> Tuple[Range, ...]:
    """Ranges one after another in the container, from container id START on."""
    found = []
    for host, count in ranges:
        found.append(Range(start, host, count))
        start += count
    return tuple(found)


def _remapped(first: int, subids: Iterable[Tuple[bytes, int, int]]) -> Optional[Tuple[Range, ...]]:
    """Ranges for a userns root whose container root is host id FIRST, None if SUBIDS don't know it."""
    owner = next((name for name, start, dummy in subids if start == first), None)
    if owner is None:
        return None
    mine = [(start, count) for name, start, count in subids if name == owner]
    # Docker starts at the first range in file order; if that is not FIRST, the file has changed since
    at = [start for start, dummy in mine].index(first)
    return _chain(0, mine[at:] + mine[:at] if at else mine)


def from_root_name(name: bytes, subuid: bytes = b'', subgid: bytes = b'') -> IdMap:
    """The IdMap of a userns-remap data root NAME (bytes, ``100000.100000``: host ids of the container's root).

    SUBUID, SUBGID: contents of the dead host's /etc/subuid and /etc/subgid. Without a matching line there the length
    is assumed (`assumed`). ValueError if NAME is not of that form.
    """
    parts = name.split(b'.')
    if len(parts) != 2 or not all(part.isdigit() and int(part) < MAX_ID for part in parts):
        raise ValueError('not a userns root: %r' % name)
    ranges = []
    assumed = False
    for part, text in zip(parts, (subuid, subgid)):
        found = _remapped(int(part), parse_subids(text))
        if found is None:
            found = (Range(0, int(part), DEFAULT_COUNT),)
            assumed = True
        ranges.append(found)
    return IdMap(ranges[0], ranges[1], assumed)


def from_shifted(uid: int, gid: int, subuid: bytes = b'', subgid: bytes = b'') -> IdMap:
    """The IdMap of the root file system of an unprivileged LXC, LXD or Incus instance, whose root is UID, GID on the host.

    SUBUID, SUBGID as in :func:`from_root_name`: LXC maps the ranges of root one after another, from id 0 of the instance on.
    Without a matching line the length is assumed.
    """
    return from_root_name(b'%d.%d' % (uid, gid), subuid, subgid)


def from_rootless(uid: int, gid: int, user: Optional[bytes], subuid: bytes = b'', subgid: bytes = b'') -> IdMap:
    """The IdMap of a rootless daemon of the user UID, GID (owner of the data root), named USER (bytes or None).

    Lines of SUBUID and SUBGID count if they name USER or the number UID. Without any only the user itself is known
    (`assumed`).
    """
    owners = {b'%d' % uid}
    if user:
        owners.add(user)
    ranges = []
    assumed = False
    for own, text in ((uid, subuid), (gid, subgid)):
        subordinate = [(start, count) for owner, start, count in parse_subids(text) if owner in owners]
        assumed = assumed or not subordinate
        ranges.append((Range(0, own, 1),) + _chain(1, subordinate))
    return IdMap(ranges[0], ranges[1], assumed)
