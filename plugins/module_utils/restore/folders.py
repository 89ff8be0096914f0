# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bundle into plain folders, without any engine: below a folder of the user's, or into a stopped engine's volumes.

An archive is unpacked beside its place under a name of its own and renamed when it is whole: so what has the final name
is complete, and what a killed run left is recognised and removed. Each place remembers the checksum of what it was made
from in a file beside it.
"""
import os
import shutil
import time

from ..bundles import source as sources
from ..storage.model import COMPLETE, LifeboatError, text
from . import databases, plan as planning, steps, unpack, volumes as volumes_
from .plan import CONTAINER, IMAGE, VOLUMES

PARTIAL = b'.lifeboat-partial-'
DONE = b'.lifeboat-done'
RESERVE = 64 << 20                      # bytes that are left free


def restore(options):
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
        return plan.skipped(name, nothing)
    if nothing:
        plan.refuse(nothing)
    _check_space(plan, where)
    plan.refuse_now(text(where))
    result = {'changed': plan.changes(), 'name': name, 'nothing': False, 'steps': [steps.shown(step) for step in plan.steps],
              'notes': plan.notes, 'diff': {'before': plan.before, 'after': plan.after}}
    if not options.check:
        if not options.offline:
            os.makedirs(where, 0o700, exist_ok=True)
        try:
            steps.run(plan.steps, options.keep_partial)
        finally:
            kept = plan.result.pop('kept', [])
        result['kept'] = [{'was': text(was), 'now': text(now)} for was, now in kept]
    plan.result.pop('kept', None)
    result.update(plan.result)
    return result


def _plan_directory(plan, options, source, names, where):
    if os.path.lexists(where) and not os.path.isdir(where):
        plan.refuse('dest %s is no folder.' % text(where))
        return
    if os.geteuid() != 0:
        plan.note('Not run as root: everything belongs to the user who runs this, whatever the bundle says.')
    if VOLUMES in options.restore:
        for part in source.of('volume'):
            place = os.path.join(where, b'volumes', os.fsencode(names[part.name]))
            plan_part(plan, options, source, part, place, 'volume', planning.DEVICES in options.ignore)
        for part in source.of('bind'):
            place = os.path.join(where, b'binds', _stem(part.file))
            plan_part(plan, options, source, part, place, 'folder', planning.DEVICES in options.ignore)
    if CONTAINER in options.restore:
        parts = source.of('rootfs') or source.of('writable')
        for part in parts:
            if part.kind == 'writable':
                plan.note('The bundle has no rootfs: only what the container had changed is unpacked, deletions as .wh. files.')
            plan_part(plan, options, source, part, os.path.join(where, part.kind.encode()), 'folder', part.kind == 'rootfs')
    if IMAGE in options.restore and source.of('image'):
        plan.note('The image is not unpacked; it stays in the bundle, for docker load.')


def _plan_offline(plan, options, source, names, root):
    for wanted in (IMAGE, CONTAINER):
        if wanted in options.restore:
            plan.note('With offline only volumes are restored; run again without it when the engine runs.')
    for part in source.of('volume'):
        name = names[part.name]
        info = source.volume_info.get(part.name, {})
        if info.get('options'):
            plan.refuse('The volume %s has driver options (%s); it can only be restored by a running engine.'
                        % (name, ', '.join(sorted(info['options']))))
            continue
        if info.get('labels'):
            plan.note('The labels of %s cannot be written while the engine is stopped.' % name)
        folder = os.path.join(root, b'volumes', os.fsencode(name))
        if not name[:1].isalnum() or '/' in name or len(name) < 2:
            plan.refuse('%s is no name for a volume.' % name)
            continue
        plan_part(plan, options, source, part, os.path.join(folder, b'_data'), 'volume', planning.DEVICES in options.ignore)


def plan_part(plan, options, source, part, place, kind, allow_devices=False):
    """One archive into one folder."""
    what = text(part.file)
    shown = text(place)
    if part.status not in (COMPLETE, ''):
        plan.note('%s was rescued only in part (%s): what is missing stands in the manifest.' % (what, part.status))
    if options.check and source.info.remote is None:
        try:
            stream = volumes_.open_archive(source.info, part.file)
            try:
                unpack.scan(stream, what, allow_devices)
            finally:
                stream.close()
        except LifeboatError as exc:
            plan.refuse(str(exc))
            return
    record = {'name': os.path.basename(shown) if os.path.basename(shown) != '_data' else
              os.path.basename(os.path.dirname(shown)), 'recorded': part.name, 'path': shown, 'way': volumes_.DIRECT,
              'notes': [], 'databases': []}
    plan.result.setdefault('volumes' if kind == 'volume' or options.target == 'directory' else 'binds', []).append(record)
    content = _content(place)
    before, after = plan.before.setdefault('folders', {}), plan.after.setdefault('folders', {})
    after[shown] = part.sha256
    if _done(place) == part.sha256 and not options.force:
        before[shown] = part.sha256
        plan.add(kind, shown, 'keep', '%s was restored from this bundle already.' % shown)
        return
    before[shown] = {'content': content} if content else None
    if content and not options.force:
        plan.refuse('%s is not empty (it has %s%s); choose another place, or force: true to replace it.'
                    % (shown, ', '.join(content), ', ...' if len(content) >= 10 else ''))
        return
    plan.result.setdefault('needed', []).append(part.bytes or 0)
    if content:
        plan.add(kind, shown, 'replace', 'Replace %s by %s; what was in it is %s.' % (
            shown, what, 'renamed' if options.keep_old else 'dropped'),
            _unpack_step(plan, options, source, part, place, record, allow_devices))
    else:
        plan.add(kind, shown, 'create', 'Unpack %s into %s.' % (what, shown),
                 _unpack_step(plan, options, source, part, place, record, allow_devices))


def _unpack_step(plan, options, source, part, place, record, allow_devices):
    def do(undo):
        parent, name = os.path.split(place)
        made = _make_folders(parent, 0o701 if name == b'_data' else 0o700)
        undo.extend(lambda folder=folder: _rmdir(folder) for folder in made)
        partial = os.path.join(parent, PARTIAL + name)
        if os.path.lexists(partial):
            shutil.rmtree(partial)
        os.mkdir(partial, 0o755)
        undo.append(lambda: shutil.rmtree(partial, ignore_errors=True))
        stream = volumes_.open_archive(source.info, part.file)
        try:
            done = unpack.unpack(stream, partial, text(part.file), allow_devices, part.bytes)
        finally:
            stream.close()
        found = databases.find(partial) if done.telling else []
        aside = None
        if os.path.lexists(place):
            if _content(place):
                aside = place + b'.before-' + time.strftime('%Y%m%d%H%M%S', time.gmtime()).encode()
                os.rename(place, aside)
                undo.append(lambda: os.rename(aside, place))
            else:
                os.rmdir(place)
                undo.append(lambda: _folder_again(place))
        made = partial
        if not done.root and done.entries == 1:
            made = os.path.join(partial, os.listdir(partial)[0])    # a bind mount of one file
        # first the note, which counts only for this very folder: so no kill can leave the folder without it
        _remember(place, part.sha256, os.lstat(made).st_ino)
        undo.append(lambda: volumes_.unlink(_memory(place)))
        os.rename(made, place)
        undo.append(lambda: os.rename(place, made))
        if made != partial:
            os.rmdir(partial)
            undo.append(lambda: os.mkdir(partial, 0o700))
        if aside and options.keep_old:
            plan.result.setdefault('kept', []).append((place, aside))
        elif aside:
            shutil.rmtree(aside)
        for item in found:
            item['volume'] = record['name']
        plan.result['databases'].extend(found)
        record.update({'entries': done.entries, 'files': done.files, 'bytes': done.bytes, 'notes': list(done.notes),
                       'databases': found})
        for note in done.notes:
            plan.note(note)
    return do


def _offline_root(path):
    """The effective data root (bytes) of a stopped engine on this machine. Raises LifeboatError unless it is dead."""
    from ..storage import inventory, liveness
    if os.geteuid() != 0:
        raise LifeboatError('offline: true writes into the data root and needs root (become: true).')
    wanted = [path] if path else []
    with inventory.Host(b'/', wanted) as host:
        roots = host.roots
        if len(roots) != 1:
            raise LifeboatError('There are %d data roots here (%s); name one in data_root.' % (
                len(roots), ', '.join(text(root.path) for root in roots) or 'none was found'))
        root = roots[0]
        if root.liveness.state != liveness.STOPPED:
            raise LifeboatError('The engine of %s is not proved to be stopped (%s); stop it, or restore without offline.' % (
                text(root.path), '; '.join(root.liveness.evidence[:2]) or root.liveness.state))
        if root.suffix or root.userxattr:
            raise LifeboatError('%s belongs to an engine that shifts owners; restore with the running engine instead.'
                                % text(root.path))
        return root.path


def _check_space(plan, where):
    needed = sum(plan.result.pop('needed', []))
    folder = where
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    st = os.statvfs(folder)
    free = st.f_bavail * st.f_frsize
    if needed + RESERVE > free:
        plan.note('%d bytes are to be unpacked and only %d are free at %s; holes in files need less.'
                  % (needed, free, text(folder)))


def _folder_again(place):
    """Take back that an empty folder was removed."""
    if not os.path.lexists(place):
        os.mkdir(place, 0o755)


def _content(place):
    """A few names of what is there; [] for nothing, and for an empty folder."""
    try:
        return [text(name) for name in sorted(os.listdir(place))[:10]]
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        return [text(os.path.basename(place))]


def _memory(place):
    parent, name = os.path.split(place)
    return os.path.join(parent, DONE) if name == b'_data' else os.path.join(parent, DONE + b'-' + name)


def _done(place):
    """Checksum of the archive that PLACE was made from; None if it was not, or is another folder by now."""
    try:
        with open(_memory(place), 'rb') as handle:
            digest, inode = handle.read(200).decode('ascii', 'replace').split()
        return digest if int(inode) == os.lstat(place).st_ino else None
    except (OSError, ValueError):
        return None


def _remember(place, digest, inode):
    fd = os.open(_memory(place), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, ('%s %d\n' % (digest, inode)).encode('ascii'))
    finally:
        os.close(fd)


def _make_folders(path, mode):
    """Make PATH and what is above it -> those that were made, the topmost first."""
    missing = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for folder in reversed(missing):
        os.mkdir(folder)
        os.chmod(folder, mode)
    return missing[::-1]


def _rmdir(folder):
    try:
        os.rmdir(folder)
    except OSError:
        pass                            # somebody else put something there meanwhile


def _stem(file):
    """binds/01-srv-www.tar.zst -> 01-srv-www"""
    return os.path.basename(file).split(b'.tar', 1)[0]
