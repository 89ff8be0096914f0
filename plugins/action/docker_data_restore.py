"""Controller side of docker_data_restore: hands over a bundle that is on the controller, piece by piece.

The module runs in the background on the host and says through files which of the bundle's files it wants next; see
module_utils/transport/inbox.py for the folder that both share.
"""
from __future__ import annotations

import io
import json
import os
import shlex
import tarfile
import tempfile
import time
from typing import Any, Generator, Iterable, Iterator

from ansible import constants as C
from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import reading, source as sources
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.formats import pieces as chunks
from ansible_collections.lifeboat.docker.plugins.module_utils.formats.wording import show, text
from ansible_collections.lifeboat.docker.plugins.module_utils.images import loadfile as imagefile, store as imagestore
from ansible_collections.lifeboat.docker.plugins.module_utils.restore import engine, plan, several, volumes
from ansible_collections.lifeboat.docker.plugins.module_utils.transport import channel, inbox
from ansible_collections.lifeboat.docker.plugins.plugin_utils import interrupts, restore_door as door

CHUNK = 8 * 1024 * 1024
LIMIT = 7 * 86400                       # seconds that the module may take in the background
NAP = 0.3
TELL = 10                               # seconds between lines of progress
GRACE = 60                              # seconds in which the result of a module that has ended must be there
SILENT = 120                            # seconds without a sign of life of the module, after which it was killed
display = Display()


class ActionModule(ActionBase):
    _supports_check_mode = True
    _supports_async = True
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        del tmp
        task_vars = task_vars or {}
        args = dict(self._task.args)
        try:
            remote = self._templar_bool(args.get('remote_src', True))
        except (TypeError, ValueError) as exc:
            raise AnsibleActionFail('remote_src must be a boolean.') from exc
        if remote:
            result.update(self._execute_module(module_args=args, task_vars=task_vars, wrap_async=self._task.async_val))
            return result
        if self._task.async_val:
            raise AnsibleActionFail('remote_src: false does not work with async: the bundle is sent while the task runs.')
        if not args.get('path'):
            raise AnsibleActionFail('path is missing.')
        try:
            with interrupts.signals():
                result.update(self._deliver_all(os.fsencode(self._local_path(args['path'])), args, task_vars))
        except LifeboatError as exc:
            result.update(failed=True, msg=str(exc))
        except door.ProtocolError as exc:
            raise AnsibleActionFail('The host sent an invalid message: %s. The restore was stopped.' % exc) from exc
        return result

    def _deliver_all(self, path: bytes, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """The result of the bundle at PATH, or of all bundles below it, one after the other."""
        found = several.items(path)
        volume_map = args.get('volume_map') or {}
        if not isinstance(volume_map, dict):
            raise AnsibleActionFail('volume_map must be a dictionary.')
        several.check(path, found, args.get('name'), volume_map)
        restore = _words(args.get('restore')) or plan.EVERYTHING
        if len(found) > 1 and args.get('target', 'engine') == 'engine' and not self._templar_bool(args.get('offline', False)):
            several.refuse_asks(found, restore, _words(args.get('allow')))

        def work(item: several.Item) -> dict[str, Any]:
            own = dict(args, **several.own(item, len(found), volume_map, args.get('dest') or ''))
            if not own.get('dest'):
                own.pop('dest', None)
            answer = self._deliver(_Bundle(os.fsdecode(item.path), own, self._task.check_mode), own, task_vars)
            if len(found) > 1 and answer.get('failed'):
                raise LifeboatError(str(answer.get('msg')))
            return answer
        if len(found) == 1:
            return work(found[0])
        answer = several.combined(path, list(several.each(found, work)), restore)
        failure = answer.pop('failure', '')
        return dict(answer, failed=True, msg=failure) if failure else answer

    @staticmethod
    def _templar_bool(value: Any) -> bool:
        from ansible.module_utils.parsing.convert_bool import boolean
        return boolean(value)

    def _local_path(self, path: str) -> str:
        path = os.path.expanduser(str(path))
        return path if os.path.isabs(path) else self._loader.path_dwim(path)

    # -- the host ------------------------------------------------------------------------------------------------

    def _deliver(self, bundle_: _Bundle, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Start the module, feed it, return its result."""
        folder = self._make_tmp_path()
        shared = door.folder(folder)
        # what follows gets a folder of its own, which Ansible removes by itself
        self._connection._shell.tmpdir = None
        job = None
        feeder = _Feeder(self, shared, bundle_)
        try:
            feeder.put(inbox.HEAD.decode(), bundle_.head())
            job = self._start(dict(args, path=shared), task_vars)
            if not job.get('ansible_job_id'):
                return door.restored(job)
            return self._feed(feeder, door.job(job['ansible_job_id']), task_vars)
        except BaseException:
            if job and job.get('ansible_job_id'):
                feeder.stop()
            raise
        finally:
            feeder.close()
            self._remove_tmp_path(folder, force=True)

    def _start(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        self._task.async_val = LIMIT
        try:
            return self._execute_module(module_args=args, task_vars=task_vars, wrap_async=True)
        finally:
            self._task.async_val = 0

    def _feed(self, feeder: _Feeder, job: str, task_vars: dict[str, Any]) -> dict[str, Any]:
        asked, ended = time.monotonic(), None
        life, heard = None, asked
        while True:
            names = feeder.names()
            shown = [name for name in names if channel.ALIVE.match(name)]
            if shown != life or 'done' in names:
                life, heard = shown, time.monotonic()
            busy = feeder.step(names)
            if channel.DONE in names or time.monotonic() - asked > TELL:
                asked = time.monotonic()
                status = self._status(job, 'status', task_vars)
                if status.get('finished') or status.get('failed'):
                    self._status(job, 'cleanup', task_vars)
                    return door.restored(status)
            if 'done' in names:
                ended = ended or asked
                if asked - ended > GRACE:       # whoever ended it ended Ansible's process around it, too
                    self._status(job, 'cleanup', task_vars)
                    raise LifeboatError('The restore was ended on the host, and left no result. Run it again.')
            if time.monotonic() - heard > SILENT:       # with Ansible's process around it, which would have told
                self._status(job, 'cleanup', task_vars)
                feeder.stop()
                raise LifeboatError('The restore was killed on the host: it gave no sign of life for %d seconds. Look there for what ended it (dmesg: out of '
                                    'memory?), then run it again.' % SILENT)
            if not busy:
                time.sleep(NAP)

    def _status(self, job: str, mode: str, task_vars: dict[str, Any]) -> dict[str, Any]:
        folder = self.get_shell_option('async_dir', default='~/.ansible_async')
        checked, self._task.check_mode = self._task.check_mode, False       # older cores skip it in check mode
        try:
            found = self._execute_module(module_name='ansible.legacy.async_status', task_vars=task_vars, module_args={
                'jid': job, 'mode': mode, '_async_dir': folder})
        finally:
            self._task.check_mode = checked
        self._remove_tmp_path(self._connection._shell.tmpdir)
        self._connection._shell.tmpdir = None
        return found


class _Feeder(object):
    """Writes pieces into the folder on the host."""

    def __init__(self, action: ActionModule, folder: str, bundle_: _Bundle) -> None:
        self.action = action
        self.folder = folder
        self.bundle = bundle_
        self.files = frozenset(bundle_.info.sums) | {inbox.IMAGE}   # what the host may ask for
        self.streams: dict[int, tuple[Generator[tuple[bytes, bool], None, None], int]] = {}     # by number: pieces, count of the next one
        self.sent = 0
        self.told = time.monotonic()
        handle, self.scratch = tempfile.mkstemp(prefix='lifeboat-', dir=C.DEFAULT_LOCAL_TMP)
        os.close(handle)

    def close(self) -> None:
        for pieces, dummy in self.streams.values():
            pieces.close()
        os.unlink(self.scratch)

    def _shell(self, command: str) -> list[str]:
        done = self.action._low_level_execute_command('cd %s && %s' % (shlex.quote(self.folder), command), sudoable=False)
        if done['rc']:
            raise AnsibleError('The folder %s on the host cannot be used: %s' % (self.folder, show(done['stderr'].strip()[:500])))
        return done['stdout'].split()

    def names(self) -> list[str]:
        return self._shell('ls -1')

    def stop(self) -> None:
        """Best effort: the module gives up by itself after a while."""
        try:
            self._shell('touch ' + channel.STOP)
        except AnsibleError:
            pass

    def put(self, name: str, data: bytes) -> list[str]:
        """A file in the folder, there only when it is whole; returns what else is there."""
        with open(self.scratch, 'wb') as handle:
            handle.write(data)
        self.action._connection.put_file(self.scratch, self.folder + '/part')
        return self._shell('mv part %s && ls -1' % shlex.quote(name))

    def step(self, names: list[str]) -> bool:
        """Send one piece if one is wanted and has room. True if something was sent."""
        wanted = door.wants(names, self.files)
        for number in [number for number in self.streams if number not in wanted.files]:
            self.streams.pop(number)[0].close()
        for number, file in sorted(wanted.files.items()):
            if number not in self.streams:
                self.streams[number] = (_with_last(self.bundle.pieces(file)), 0)
            if wanted.chunks.get(number, 0) >= channel.PIECES:
                continue
            pieces, count = self.streams[number]
            piece, last = next(pieces, (None, False))
            if piece is None:
                continue                # all of it is there, the host is still reading
            self.put(channel.piece_name(number, count, last), piece)
            self.streams[number] = (pieces, count + 1)
            self.sent += len(piece)
            self._tell(file)
            return True
        return False

    def _tell(self, file: bytes) -> None:
        if time.monotonic() - self.told > TELL:
            self.told = time.monotonic()
            display.display('<%s> %s: %d MiB sent' % (
                self.action._play_context.remote_addr, show(text(file)), self.sent >> 20))


class _Bundle(object):
    """The bundle on the controller: verified, with the documents that the host would otherwise have to read twice."""

    def __init__(self, path: str, args: dict[str, Any], check_mode: bool) -> None:
        self.source = sources.read(os.fsencode(path))
        self.info = self.source.info
        wanted = _words(args.get('restore')) or plan.EVERYTHING
        self.documents = {}
        if plan.has_image(self.source) and not args.get('image') and any(part in wanted for part in (plan.IMAGE, plan.CONTAINER, plan.DUMPS)):
            images, dummy = plan.read_images(self.source)
            self.documents[inbox.IMAGES] = imagefile.to_document(images)
        if 'container' in wanted and not check_mode:
            self.documents[inbox.DATABASES] = engine.writable_databases(self.source)
        if check_mode:
            for part in self.source.parts:
                if part.kind == 'volume' and 'volumes' in wanted or part.kind == 'bind' and 'binds' in wanted:
                    volumes.look_through(self.info, part.file, plan.DEVICES in (args.get('ignore') or []))

    def head(self) -> bytes:
        """head.tar as bytes."""
        found = {reading.SUMS: None, reading.MANIFEST: None}
        found.update((name, None) for name in self.info.sums if name.startswith(b'config/'))
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode='w', format=tarfile.PAX_FORMAT) as tar:
            folder = tarfile.TarInfo('config')
            folder.type, folder.mode = tarfile.DIRTYPE, 0o700
            tar.addfile(folder)
            for name in sorted(found):
                if name == reading.SUMS:
                    with open(os.path.join(self.info.path, name), 'rb') as handle:
                        _add(tar, name, handle.read())
                else:
                    _add(tar, name, reading.read_file(self.info, name))
            for name, value in self.documents.items():
                _add(tar, name, json.dumps(value).encode('utf-8'))
        return buffer.getvalue()

    def pieces(self, name: bytes) -> Iterator[bytes]:
        """The bytes of one file, in pieces of CHUNK."""
        if name == inbox.IMAGE and name not in self.info.sums:
            yield from chunks.joined(imagestore.loadable(self.info.path), CHUNK)
            return
        with os.fdopen(reading.open_file(self.info, name), 'rb') as handle:
            yield from chunks.of(handle, CHUNK)


def _words(value: Any) -> tuple[str, ...]:
    """An option that is a list, which may be given as text."""
    return tuple(word.strip() for word in value.split(',') if word.strip()) if isinstance(value, str) else tuple(value or ())


def _add(tar: tarfile.TarFile, name: bytes, data: bytes) -> None:
    info = tarfile.TarInfo(os.fsdecode(name))
    info.size, info.mode = len(data), 0o600
    tar.addfile(info, io.BytesIO(data))


def _with_last(pieces: Iterable[bytes]) -> Generator[tuple[bytes, bool], None, None]:
    """(piece, whether it is the last); an empty file is one empty piece."""
    before = None
    for piece in pieces:
        if before is not None:
            yield before, False
        before = piece
    yield (b'' if before is None else before), True
