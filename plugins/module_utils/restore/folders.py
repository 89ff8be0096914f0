"""A bundle into plain folders, without any engine: below a folder of the user's, or into a stopped engine's volumes.

An archive is unpacked beside its place under a name of its own and renamed when it is whole: so what has the final name
is complete, and what a killed run left is recognised and removed. Each place remembers the checksum of what it was made
from in a file beside it.
"""
import os
import stat
import time
from typing import Any, Callable, Dict, List, Optional, Tuple, Union

from ..archive import compare, removal, unpack
from ..bundles import source as sources
from ..disk.errors import LifeboatError
from ..formats.wording import number, show, text
from ..records.definition import VolumeSettings
from ..records.model import COMPLETE
from . import databases, labels, plan as planning, steps, target, volumes as volumes_
from .plan import CONTAINER, IMAGE, VOLUMES

PARTIAL = b'.lifeboat-partial-'
DONE = b'.lifeboat-done'
DATA = b'data'                          # in the folder PARTIAL: what becomes the place
RESERVE = 64 << 20                      # bytes that are left free


def restore(options: planning.Options) -> Dict[str, Any]:
    """-> result (dict) for target: directory, or offline: true. Raises LifeboatError."""
    source = sources.read(options.path, options.inbox, options.seen)
    name = options.name or source.name
    names = sources.volume_names(source, options.volume_map, name)
    plan = planning.Plan()
    if options.offline:
        where = _offline_root(options.data_root)
        _plan_offline(plan, options, source, names, where)
    else:
        where = options.dest
        _plan_directory(plan, options, source, names, where)
    nothing = plan.nothing(options.restore)
    if nothing and options.if_nothing == 'skip':
        return plan.skipped(show(name), nothing)
    if nothing:
        plan.refuse(nothing)
    _check_space(plan, where)
    plan.refuse_now(show(where))
    result = {'changed': plan.changes(), 'name': show(name), 'nothing': False, 'steps': [steps.shown(step) for step in plan.steps],
              'notes': plan.notes, 'diff': {'before': plan.before, 'after': plan.after}}
    if not options.check:
        if not options.offline:
            removal.make(where)
        try:
            steps.run(plan.steps, options.keep_partial)
        finally:
            kept = plan.result.pop('kept', [])
        result['kept'] = [{'was': text(was), 'now': text(now)} for was, now in kept]
    plan.result.pop('kept', None)
    result.update(plan.result)
    return result


def _plan_directory(plan: planning.Plan, options: planning.Options, source: sources.Source, names: Dict[str, str], where: bytes) -> None:
    if os.path.lexists(where) and not os.path.isdir(where):
        plan.refuse('dest %s is no folder.' % show(where))
        return
    if os.geteuid() != 0:
        plan.note('Not run as root: everything belongs to the user who runs this, whatever the bundle says.')
    base = os.path.realpath(where)
    devices = planning.DEVICES in options.ignore
    if VOLUMES in options.restore:
        for part in source.of('volume'):
            place = target.Place(base, b'volumes', os.fsencode(names[part.name]))
            plan_part(plan, options, source, part, place, 'volume', devices)
        for part in source.of('bind'):
            stem = _stem(part.file)
            if not target.is_name(stem) or stem.startswith(b'.'):
                plan.refuse('The archive %s of a bind mount has a name that cannot be a folder.' % show(part.file))
                continue
            plan_part(plan, options, source, part, target.Place(base, b'binds', stem), 'folder', devices)
        _plan_open_files(plan, options, source, base, devices)
    if CONTAINER in options.restore:
        parts = source.of('rootfs') or source.of('writable')
        for part in parts:
            if part.kind == 'writable':
                plan.note('The bundle has no rootfs: only what the container had changed is unpacked, deletions as .wh. files.')
            plan_part(plan, options, source, part, target.Place(base, b'', part.kind.encode()), 'folder', part.kind == 'rootfs')
    if IMAGE in options.restore and source.of('image'):
        plan.note('The image is not unpacked; it stays in the bundle, for docker load.')


def _plan_open_files(plan: planning.Plan, options: planning.Options, source: sources.Source, base: bytes, devices: bool) -> None:
    """Each archive of deleted files into a folder of its own, for somebody to choose from."""
    for part in source.of('open-files'):
        stem = _stem(part.file)
        if not target.is_name(stem) or not stem.startswith(b'open-files'):
            plan.refuse('The archive %s of open files has a name that cannot be a folder.' % show(part.file))
            continue
        plan_part(plan, options, source, part, target.Place(base, b'', stem), 'folder', devices)


def _plan_offline(plan: planning.Plan, options: planning.Options, source: sources.Source, names: Dict[str, str], root: bytes) -> None:
    for wanted in (IMAGE, CONTAINER):
        if wanted in options.restore:
            plan.note('With offline only volumes are restored; run again without it when the engine runs.')
    planning.note_open_files(plan, source)
    for part in source.of('volume'):
        name = names[part.name]
        info = source.volumes.get(part.name, VolumeSettings())
        if info.options:
            plan.refuse('The volume %s has driver options (%s); it can only be restored by a running engine.'
                        % (name, ', '.join(show(key) for key in sorted(info.options))))
            continue
        if len(name) < 2:
            plan.refuse('%s is too short for the name of a volume; give it another one in volume_map.' % name)
            continue
        if info.labels:
            plan.note('The labels of %s cannot be written while the engine is stopped.' % name)
        # an administrator may have put the engine's folder of volumes elsewhere, by a link in the engine's own folder
        base = os.path.realpath(os.path.join(root, b'volumes'))
        parent = os.fsencode(name)
        if not os.path.isdir(base):
            base, parent = root, b'volumes/' + parent
        plan_part(plan, options, source, part, target.Place(base, parent, b'_data', mode=0o701), 'volume',
                  planning.DEVICES in options.ignore)


def plan_part(plan: planning.Plan, options: planning.Options, source: sources.Source, part: sources.Part, place: Union[bytes, target.Place], kind: str,
              allow_devices: bool = False) -> None:
    """One archive into one folder. PLACE: a target.Place, or a path (bytes) of the engine's host as it is seen from here."""
    if isinstance(place, bytes):
        path = place
        try:
            place = target.on_host(path)
        except ValueError:
            plan.refuse('%s is not a valid path.' % show(path[:300]))
            return
    what = show(part.file)
    shown = show(place.path)
    if part.status not in (COMPLETE, ''):
        plan.note('%s was rescued only in part (%s): %s.' % (what, show(part.status), part.shortfall))
    try:
        content = _content(place)
        if options.check and source.info.remote is None:
            volumes_.look_through(source.info, part.file, allow_devices, part.bytes)
    except LifeboatError as exc:
        plan.refuse(str(exc))
        return
    record = {'name': os.path.basename(shown) if place.name != b'_data' else os.path.basename(os.path.dirname(shown)),
              'recorded': show(part.name), 'path': shown, 'way': volumes_.DIRECT, 'notes': [], 'databases': []}
    plan.result.setdefault('volumes' if kind == 'volume' or options.target == 'directory' else 'binds', []).append(record)
    before, after = plan.before.setdefault('folders', {}), plan.after.setdefault('folders', {})
    if shown in after:
        plan.refuse('The bundle has two archives for %s.' % shown)
        return
    after[shown] = part.sha256
    if _done(place) == part.sha256 and not options.force:
        before[shown] = part.sha256
        plan.add(kind, shown, 'keep', '%s was restored from this bundle already.' % shown)
        return
    before[shown] = {'content': content} if content else None
    if content and not options.force:
        if _is_the_same(plan, source, part, place, content):
            before[shown] = part.sha256
            plan.add(kind, shown, 'keep', '%s has exactly what the bundle has.' % shown)
        return
    plan.result.setdefault('needed', []).append(part.bytes or 0)
    if content:
        plan.add(kind, shown, 'replace', 'Replace %s by %s; what was in it is %s.' % (
            shown, what, 'renamed' if options.keep_old else 'dropped'),
            _unpack_step(plan, options, source, part, place, record, allow_devices))
    else:
        plan.add(kind, shown, 'create', 'Unpack %s into %s.' % (what, shown),
                 _unpack_step(plan, options, source, part, place, record, allow_devices))


def _is_the_same(plan: planning.Plan, source: sources.Source, part: sources.Part, place: target.Place, content: List[str]) -> bool:
    """True if PLACE, which is not empty, has what the archive has, as far as that is looked at; else the plan is refused."""
    differs = ''
    if part.kind == 'bind':
        try:
            differs = _difference(source, part, place)
        except LifeboatError as exc:
            plan.refuse(str(exc))
            return False
        if not differs:
            return True
    plan.refuse('%s is not empty (it has %s%s)%s; choose another place, or force: true to replace it.' % (
        show(place.path), ', '.join(content), ', ...' if len(content) >= 10 else '',
        ' and is not what the bundle has: %s' % differs if differs else ''))
    return False


def _unpack_step(plan: planning.Plan, options: planning.Options, source: sources.Source, part: sources.Part, place: target.Place,
                 record: Dict[str, Any], allow_devices: bool) -> Callable[[steps.Undo], None]:
    def do(undo: steps.Undo) -> None:
        undo.append(place.make())
        partial = target.beside(PARTIAL, place.name)
        with place.folder() as folder:
            _clear(place, partial, folder)
            os.mkdir(partial, 0o700, dir_fd=folder)
            undo.append(lambda: _removed(place, partial))
            inner = target.opened_folder(partial, folder)
            try:
                done, found = _unpacked(source, part, inner, allow_devices)
                made, made_in = _whole(part, done, inner)
                try:
                    aside = _set_aside(place, folder, undo)
                    # first the note, which counts only for this very folder: so no kill can leave the folder without it
                    _remember(place, folder, part.sha256, os.stat(made, dir_fd=made_in, follow_symlinks=False).st_ino)
                    undo.append(lambda: _noteless(place))
                    os.rename(made, place.name, src_dir_fd=made_in, dst_dir_fd=folder)
                    undo.append(lambda: _removed(place, place.name))
                finally:
                    os.close(made_in)
            finally:
                os.close(inner)
            removal.remove(partial, folder)
            if aside and options.keep_old:
                plan.result.setdefault('kept', []).append((place.path, place.beside(aside)))
            elif aside:
                removal.remove(aside, folder)
        for item in found:
            item['volume'] = record['name']
        plan.result['databases'].extend(found)
        record.update({'entries': done.entries, 'files': done.files, 'bytes': done.bytes, 'notes': list(done.notes),
                       'databases': found})
        for note in done.notes:
            plan.note(note)
    return do


def _clear(place: target.Place, partial: bytes, folder: int) -> None:
    """Remove what a killed run left; a file or folder of another user is refused."""
    mode = target.kind_of(partial, folder)
    if not mode:
        return
    path = place.beside(partial)
    if not stat.S_ISDIR(mode):
        raise LifeboatError('%s is in the way and was not made by this collection: remove it.' % show(path))
    target.refuse_foreign(os.stat(partial, dir_fd=folder, follow_symlinks=False), path)
    removal.remove(partial, folder)


def _unpacked(source: sources.Source, part: sources.Part, inner: int, allow_devices: bool) -> Tuple[unpack.Unpacked, List[Dict[str, Any]]]:
    """Unpack an archive into a folder DATA that is made in the folder INNER -> (unpack.Unpacked, its databases)."""
    os.mkdir(DATA, 0o755, dir_fd=inner)
    data = target.opened_folder(DATA, inner)
    try:
        os.fchmod(data, 0o755)
        stream = volumes_.open_archive(source.info, part.file)
        try:
            done = unpack.unpack(stream, data, show(part.file), allow_devices, part.bytes, label=labels.kept())
        finally:
            stream.close()
        return done, databases.find(data) if done.telling else []
    finally:
        os.close(data)


def _whole(part: sources.Part, done: unpack.Unpacked, inner: int) -> Tuple[Union[bytes, str], int]:
    """(name, descriptor of the folder it is in) of what becomes the place: the folder that was unpacked, or of a bind mount
    of one file that file. The descriptor is the caller's."""
    if part.kind != 'bind' or done.root or done.entries != 1:
        return DATA, os.dup(inner)
    data = target.opened_folder(DATA, inner)
    try:
        name = os.listdir(data)[0]
        if not stat.S_ISREG(target.kind_of(name, data)):
            raise LifeboatError('%s: its only member is no file, and the archive does not say that it is a folder.' % show(part.file))
        return name, data
    except BaseException:
        os.close(data)
        raise


def _set_aside(place: target.Place, folder: int, undo: steps.Undo) -> Optional[bytes]:
    """Rename what is at PLACE, if there is something in it -> its name then, or None."""
    if not target.kind_of(place.name, folder):
        return None
    if not _content(place):
        mode = stat.S_IMODE(target.kind_of(place.name, folder))
        os.rmdir(place.name, dir_fd=folder)
        undo.append(lambda: _folder_again(place, mode))
        return None
    aside = target.beside(b'', place.name[:200] + b'.before-' + time.strftime('%Y%m%d%H%M%S', time.gmtime()).encode())
    if target.kind_of(aside, folder):
        raise LifeboatError('%s is there already; run again.' % show(place.beside(aside)))
    os.rename(place.name, aside, src_dir_fd=folder, dst_dir_fd=folder)

    def back() -> None:
        with place.folder() as again:
            os.rename(aside, place.name, src_dir_fd=again, dst_dir_fd=again)
    undo.append(back)
    return aside


def _offline_root(path: bytes) -> bytes:
    """The effective data root (bytes) of a stopped engine on this machine. Raises LifeboatError unless it is dead."""
    from ..engines import api, registry
    if os.geteuid() != 0:
        raise LifeboatError('offline: true writes into the data root and needs root (become: true).')
    wanted = [path] if path else []
    # a volume of another engine needs a record in its database too
    with registry.open_host(b'/', wanted, engines=[registry.FIRST]) as host:
        roots = host.roots
        if len(roots) != 1:
            raise LifeboatError('There are %d data roots here (%s); name one in data_root.' % (
                len(roots), ', '.join(show(root.path) for root in roots) or 'none was found'))
        root = roots[0]
        if root.liveness.state != api.STOPPED:
            raise LifeboatError('The engine of %s is not proved to be stopped (%s); stop it, or restore without offline.' % (
                show(root.path), '; '.join(root.liveness.evidence[:2]) or root.liveness.state))
        if root.idmap is not None:
            raise LifeboatError('%s belongs to an engine that shifts owners; restore with the running engine instead.'
                                % show(root.path))
        return root.path


def _check_space(plan: planning.Plan, where: bytes) -> None:
    needed = sum(plan.result.pop('needed', []))
    folder = where
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    st = os.statvfs(folder)
    free = st.f_bavail * st.f_frsize
    if needed + RESERVE > free:
        plan.note('%s are to be unpacked and only %d are free at %s; holes in files need less.'
                  % (number(needed, 'byte'), free, show(folder)))


def _folder_again(place: target.Place, mode: int) -> None:
    """Take back that an empty folder was removed."""
    with place.folder() as folder:
        try:
            os.mkdir(place.name, 0o700, dir_fd=folder)
        except FileExistsError:
            return
        made = target.opened_folder(place.name, folder)
        try:
            os.fchmod(made, mode)
        finally:
            os.close(made)


def _removed(place: target.Place, name: bytes) -> None:
    """Remove something that we made beside the place, or the place itself, if it is still there."""
    with place.folder() as folder:
        removal.remove(name, folder)


def _content(place: target.Place) -> List[str]:
    """A few names of what is there; [] for nothing, and for an empty folder. LifeboatError for a link."""
    try:
        with place.folder() as folder:
            mode = target.kind_of(place.name, folder)
            if stat.S_ISLNK(mode):
                raise LifeboatError('%s is a link, which is not followed here: remove it, or choose another place.'
                                    % show(place.path))
            if mode and not stat.S_ISDIR(mode):
                return [show(place.name)]
            return [show(name) for name in target.names_in(place.name, folder)[:10]] if mode else []
    except FileNotFoundError:
        return []
    except OSError as exc:
        raise LifeboatError('%s cannot be looked at: %s.' % (show(place.path), exc.strerror))


def _difference(source: sources.Source, part: sources.Part, place: target.Place) -> str:
    """'' if PLACE is exactly what the archive of a bind mount would make there, else what tells them apart. Writes nothing."""
    with place.folder() as folder:
        stream = volumes_.open_archive(source.info, part.file)
        try:
            found = compare.difference(stream, folder, place.name, show(part.file))
            while found and source.info.remote is not None and stream.read(compare.CHUNK):
                pass                    # the controller sends all of a file that was asked for
            return found
        finally:
            stream.close()


def _memory(place: target.Place) -> bytes:
    """Name of the note beside PLACE."""
    return DONE if place.name == b'_data' else target.beside(DONE + b'-', place.name)


def _done(place: target.Place) -> Optional[str]:
    """Checksum of the archive that PLACE was made from; None if it was not, or is another folder by now."""
    try:
        with place.folder() as folder:
            digest, inode = target.read_note(_memory(place), folder).decode('ascii', 'replace').split()
            same = int(inode) == os.stat(place.name, dir_fd=folder, follow_symlinks=False).st_ino
            return digest if same else None
    except (OSError, ValueError):
        return None


def _remember(place: target.Place, folder: int, digest: str, inode: int) -> None:
    target.write_note(_memory(place), ('%s %d\n' % (digest, inode)).encode('ascii'), folder)


def _noteless(place: target.Place) -> None:
    with place.folder() as folder:
        target.drop_note(_memory(place), folder)


def _stem(file: bytes) -> bytes:
    """binds/01-srv-www.tar.zst -> 01-srv-www"""
    return os.path.basename(file).split(b'.tar', 1)[0]
