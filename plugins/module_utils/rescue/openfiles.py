"""What only processes of a container still have, for the rescue of a live host: deleted files that are open or mapped, and folders that only a mount of
the container leads to.

Everything is held by descriptors of ours from the start of the run, so that it stays even if the container ends meanwhile. The processes stand still
only while it is written.
"""
import os
import stat
from typing import TYPE_CHECKING, Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

from ..archive import write as archive
from ..archive.opentree import UNNAMED, MountTree, OpenTree
from ..bundles import plan, quiesce, stopping
from ..disk import fsinfo, metadata, processes, safeio
from ..disk.errors import LifeboatError
from ..formats import wording
from ..records import model
from ..records.codes import problem

if TYPE_CHECKING:
    from ..engines.api import Root
    from ..engines.registry import Host

NAMED = 5                               # in a message
LISTED = 100                            # in the manifest
KIND = 'open-files'
Still = Union[quiesce.Frozen, quiesce.Paused, stopping.Stopped]


class Hold(object):
    """What is held of one container: `items` to write, `problems`. settle() has its processes stand still, release() lets them go on, close() gives
    everything back."""

    def __init__(self, name: str, held: processes.Held) -> None:
        self.name = name
        self.items: List[plan.Item] = []
        self.problems: List[model.Problem] = []
        self.files = held
        self._tree: Optional[OpenTree] = None
        self._fds: List[int] = []
        self._still: Optional[Still] = None
        self._moving = ''               # why they do not stand still
        self._late: List[processes.Unread] = []     # what could not be read at the second look only
        self._freeze: Optional[Callable[[], Still]] = None
        self._everyone: Callable[[], List[int]] = list

    def when_written(self, freeze: Callable[[], Still], everyone: Callable[[], List[int]]) -> None:
        """How the processes are stopped, and which there are."""
        self._freeze, self._everyone = freeze, everyone

    def settle(self) -> None:
        """Have the processes stand still, and look again: what came since the first look is taken too. Where they cannot be stopped, release()
        says so."""
        if self._freeze is None or not self._everyone():
            return                      # they have ended: nobody writes any more
        try:
            self._still = self._freeze()
        except (quiesce.NotFrozen, stopping.NotStopped, OSError) as exc:
            self._moving = 'they could not be stopped: %s' % (metadata.describe(exc) if isinstance(exc, OSError) else exc)
        fresh = processes.scan(self._everyone())
        known = {item.key for item in self.files.files}
        new = tuple(item for item in fresh.files if item.key not in known)
        told = {(item.pid, item.text) for item in self.files.unread}
        self._late = [item for item in fresh.unread if (item.pid, item.text) not in told]
        processes.close(fresh._replace(files=tuple(item for item in fresh.files if item.key in known)))
        self.files = self.files._replace(files=self.files.files + new)
        if self._tree is not None:
            self._tree.hold(self.files)

    def take(self, held: processes.Held, mounts: Sequence['_Reached']) -> None:
        """HELD and MOUNTS as items."""
        self.files = held
        if held.files:
            self._tree = OpenTree(held)
            unnamed = self._tree.unnamed
            about = {'processes': len(held.processes), 'in_memory': held.in_memory, 'unread': len(held.unread),
                     'unnamed': [wording.show(text) for text in unnamed[:LISTED]]}
            self.items.append(plan.Item(KIND, KIND, KIND, self._tree, archive.TREE, about,
                                        model.PARTIAL if held.unread else model.COMPLETE, held=True))
            if unnamed:
                self.problems.append(problem('OPEN_FILE_UNNAMED', self.name, '%d of the deleted files that %s has open could not be named; they are in '
                                             '%s/ of its archive: %s.' % (len(unnamed), self.name, UNNAMED.decode(), ', '.join(
                                                 wording.show(text)[:200] or '(no name)' for text in unnamed[:NAMED])), 'Tell them by their content.'))
        for number, reached in enumerate(mounts, 1):
            self._fds.append(reached.fd)
            self.items.append(reached.item(number))
            self.problems.append(problem('REACHED_THROUGH_PROCESS', self.name, '%s of %s is read through the mount that its process %d still has: the '
                                         'folder on the disk is %s.' % (reached.what, self.name, reached.pid, 'another one' if reached.differs else
                                                                        'gone'), 'Verify the bundle before the container is stopped.'))
        self.problems.extend(self._unread(held.unread))

    def _unread(self, unread: Sequence[processes.Unread]) -> List[model.Problem]:
        found = [problem('READ_ERROR', self.name, 'A deleted file that process %d of %s has open cannot be read: %s%s.' % (
            item.pid, self.name, wording.show(item.text) + ': ' if item.text else '', metadata.describe(item.error)), 'Use become: true.')
            for item in unread[:NAMED]]
        if len(unread) > NAMED:
            found.append(problem('READ_ERROR', self.name, '%s that %s has open cannot be read.' % (wording.number(len(unread), 'deleted file'), self.name), ''))
        return found

    def release(self, name: str, read: bool = True) -> List[model.Problem]:
        """Let the processes go on -> what was not steady while the bundle NAME was written. READ false: nothing was."""
        still, self._still = self._still, None
        if still is not None and not still.thaw():
            self._moving = 'they stood still only for a part of the time'
        if not read:
            return []
        notes = self._unread(self._late)
        if self._moving:
            notes.append(problem('OPEN_FILES_MOVING', name, 'The processes of %s went on while its open files were read: %s.' % (name, self._moving),
                                 'Each file is as it was when it was read, but not all at one moment. Give it more time with freeze_timeout.'))
        changed = self._tree.changed if self._tree is not None else []
        if changed:
            notes.append(problem('FILE_CHANGED', name, '%s of %s changed while they were read: %s.' % (
                wording.number(len(changed), 'open file'), name, ', '.join(
                    '/' + wording.show(item.path)[:200] for item in changed[:NAMED])), 'Something outside of the container writes to them.'))
        return notes

    def close(self) -> None:
        """Let the processes go on, and give back what is open."""
        self.release(self.name, False)
        processes.close(self.files)
        self.files = self.files._replace(files=())
        while self._fds:
            os.close(self._fds.pop())


class Subject(NamedTuple):
    """A container that runs. `words`: the seam's cgroup_ids()."""
    ident: str
    name: str
    words: Tuple[str, ...]
    mounts: Tuple[model.Mount, ...]


class _Reached(NamedTuple):
    """A folder of a volume or a bind that a mount of the container leads to and the disk does not."""
    fd: int
    mount: model.Mount
    pid: int
    differs: bool                       # the disk has another folder in its place
    prune: Tuple[bytes, ...]

    @property
    def what(self) -> str:
        return 'The %s %s' % (self.mount.type, self.mount.name or self.mount.source or self.mount.destination)

    def item(self, number: int) -> plan.Item:
        """A volume or bind as if it were on the disk; beside one that is there, files to choose from."""
        mount, tree = self.mount, MountTree(self.fd, self.prune)
        about: Dict[str, Any] = {'destination': mount.destination, 'through': self.pid}
        if self.differs:
            stem = '%s-%02d-%s' % (KIND, number, plan.slug(mount.destination))
            return plan.Item('%s:%02d' % (KIND, number), KIND, stem, tree, archive.TREE, about, held=True)
        if mount.type == 'volume':
            return plan.volume_item(mount.name or '', b'', model.COMPLETE, about)._replace(tree=tree, shared=None, held=True)
        about.update(source=mount.source, single=False)
        return plan.Item('bind:9%02d' % number, 'bind', 'binds/9%02d-%s' % (number, plan.slug(mount.source or mount.destination)), tree, archive.TREE,
                         about, held=True)


def refuse_dead(host: 'Host') -> None:
    """LifeboatError unless HOST is the one that runs here: only its processes can have anything."""
    if not host.root.is_live:
        raise LifeboatError('open_files: true reads the processes of a running host, and %s is the disk of another one: what was only open there is '
                            'gone. Leave open_files out; docs/undelete.md says what a disk may still have.' % wording.text(host.root.path))


def hold(root: 'Root', container: model.Container, groups: processes.Groups, limit: float, stop: bool) -> Optional[Hold]:
    """What only processes of CONTAINER have, held; None if it does not run. LIMIT: seconds that its processes stand still at most; STOP false: they
    go on."""
    words = root.cgroup_ids(container)
    pid = root.alive(container) or groups.oldest(words)
    if pid is None:
        return None
    return _hold(pid, Subject(container.id, container.name or container.id[:12], words, container.mounts), limit, stop)


def hold_unrecorded(ident: str, groups: processes.Groups, limit: float, stop: bool) -> Optional[Hold]:
    """The same for a container that runs and of which no record is left: only its id is known, from its control group."""
    pid = groups.oldest((ident,))
    return _hold(pid, Subject(ident, ident[:12], (ident,), ()), limit, stop) if pid is not None else None


def _hold(pid: int, subject: 'Subject', limit: float, stop: bool) -> Hold:
    name, words = subject.name, subject.words
    found = Hold(name, processes.Held((), (), 0, ()))
    mounts: List[_Reached] = []
    try:
        everyone = processes.of_container(pid, words)
        if not everyone:
            found.problems.append(problem('READ_ERROR', name, 'The processes of %s cannot be looked at.' % name, 'Use become: true.'))
            return found
        found.files = processes.scan(everyone)
        mounts = _reached(subject.mounts, pid)
        found.take(found.files, mounts)
        mounts = []
        if stop and found.items:
            found.when_written(lambda: _freeze(pid, subject.ident, words, limit), lambda: processes.of_container(pid, words))
    except BaseException:
        for item in mounts:
            os.close(item.fd)
        found.close()
        raise
    return found


def _freeze(pid: int, ident: str, words: Sequence[str], limit: float) -> Still:
    """Frozen by the control group, else stopped one by one. NotStopped with both reasons."""
    try:
        return quiesce.freeze(pid, ident, limit)
    except (quiesce.NotFrozen, OSError) as exc:
        why = exc
    try:
        return stopping.Stopped(lambda: processes.of_container(pid, words), limit)
    except stopping.NotStopped as exc:
        raise stopping.NotStopped('%s; %s' % (why, exc))


def _reached(mounts: Sequence[model.Mount], pid: int) -> List[_Reached]:
    """Those of MOUNTS whose folder is gone from the disk, or is another one there, and that its process PID still has, with something in them.
    The descriptors are the caller's."""
    table = processes.mounts_of(pid)
    found = []
    for mount in mounts:
        if mount.type == 'volume' or mount.type == 'bind' and mount.path is None:
            point = _point(mount, table)
            if point is None or point.fstype in fsinfo.SHARED:
                continue
            fd = _folder(pid, point)
            if fd is None:
                continue
            if mount.path is not None and (mount.subpath or _is_folder_of(fd, mount.path)):
                os.close(fd)
                continue
            prune = tuple(other.point[len(point.point) + 1:] for other in table if other is not point and fsinfo.is_below(other.point, point.point))
            found.append(_Reached(fd, mount, pid, mount.path is not None, prune))
    return found


def _point(mount: model.Mount, table: Sequence[fsinfo.MountPoint]) -> Optional[fsinfo.MountPoint]:
    """The line of TABLE for a recorded mount; by the source where a link was in its destination."""
    wanted = fsinfo.clean(wording.raw(mount.destination))
    hits = [item for item in table if item.point == wanted]
    if not hits and mount.source:
        source = wording.raw(mount.source)
        hits = [item for item in table if len(item.root) > 1 and source.endswith(item.root)]
        if len({item.point for item in hits}) > 1:
            return None
    return hits[-1] if hits else None


def _folder(pid: int, point: fsinfo.MountPoint) -> Optional[int]:
    """A descriptor of what is mounted at POINT, None if that is no folder or is empty: one that was deleted is."""
    try:
        fd = processes.held_below(pid, point.point)
    except OSError:
        return None
    try:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            with safeio.Dir.held(fd) as folder:
                if not folder.is_empty():
                    return fd
    except OSError:
        pass
    os.close(fd)
    return None


def _is_folder_of(fd: int, path: bytes) -> bool:
    """Whether PATH of this machine is the folder behind FD. A path that cannot be looked at is taken for it: there is a problem about it."""
    try:
        st, own = safeio.lstat(path), os.fstat(fd)
    except OSError:
        return True
    return (st.st_dev, st.st_ino) == (own.st_dev, own.st_ino)
