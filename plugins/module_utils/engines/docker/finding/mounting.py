"""How to mount a file system of a dead host: advice for problems.

``mount -o ro`` of a file system with a journal replays the journal, which writes to the disk. Without the replay
(``noload`` and its like) what was written last is not seen: records of zero bytes, missing files. So the journal is
replayed into a copy-on-write overlay over the disk, which is not written; docs/outage.md has the commands.
"""
import shlex

from ....formats.wording import show

GUIDE = 'with its journal replayed on a copy-on-write overlay ("Mount a disk" in docs/outage.md)'
# mount options that neither write nor replay
NO_REPLAY = {'ext3': 'ro,noload', 'ext4': 'ro,noload', 'xfs': 'ro,norecovery', 'btrfs': 'ro,rescue=nologreplay'}
OTHERS = ', '.join('%s: %s' % (each, NO_REPLAY[each]) for each in ('xfs', 'btrfs'))
NEVER = 'Not with plain ro: that replays the journal, which writes to the disk.'
NO_JOURNAL = ('ext2', 'iso9660', 'squashfs', 'erofs', 'vfat', 'nfs', 'nfs4', 'cifs', 'ceph', 'glusterfs', '9p')


def _words(source: bytes, place: bytes) -> str:
    words = [shlex.quote(show(each)) for each in (source, place)]
    return ' '.join((['--'] if words[0].startswith('-') else []) + words)


def advice(source: bytes, place: bytes, fstype: str = '') -> str:
    """Sentences: mount SOURCE (a device, as fstab writes it) at PLACE. FSTYPE: what fstab says, '' if unknown.

    Source and place may come from a hostile disk: they are shown clean and quoted for a shell.
    """
    words = _words(source, place)
    if fstype in NO_JOURNAL:
        return 'Mount it read-only (mount -o ro %s).' % words
    options = NO_REPLAY.get(fstype, NO_REPLAY['ext4'])
    return ('Mount it %s. Where that cannot be done, mount it without its journal (mount -o %s %s%s); what was written '
            'last may then be missing. %s'
            % (GUIDE, options, words, '' if fstype in NO_REPLAY else '; ' + OTHERS, NEVER))


def bind_advice(source: bytes, place: bytes) -> str:
    """A bind mount of the dead host: its SOURCE folder at PLACE, both as this machine sees them."""
    return 'Bind it read-only (mount -o bind,ro %s).' % _words(source, place)
