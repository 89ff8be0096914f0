"""Fetching what a detached rescue has spooled, over whatever connection Ansible has.

The main thread talks to the node (steps), others fetch chunks and check them, one writes what they brought, in order. Lost
connections are tried again for a while; what was not confirmed is simply fetched once more. Paths on the node are built here,
from what delivery_door let through: the place, the name of the spool, a number and a digest.
"""
from __future__ import annotations

import collections
import concurrent.futures
import copy
import errno
import hashlib
import json
import os
import shlex
import time
from typing import Any, Callable, Optional

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError
from ansible.plugins.connection import ConnectionBase

from ansible_collections.lifeboat.docker.plugins.module_utils.formats import wording
from ansible_collections.lifeboat.docker.plugins.module_utils.transport import channel, spool
from ansible_collections.lifeboat.docker.plugins.plugin_utils import delivery_door as door, delivery_guard as guard
from ansible_collections.lifeboat.docker.plugins.plugin_utils.delivery import Receiver
from ansible_collections.lifeboat.docker.plugins.plugin_utils.delivery_door import ProtocolError

GONE = '{"gone": true}'                 # the answer of a node without a spool
STEP_WAIT = 3                           # seconds that a step waits on the node for something to fetch
AHEAD = 2                               # chunks that may wait to be written
FETCHERS = 2                            # files at once, where the connection allows it
STEP_EVERY = 10.0                       # seconds after which the node hears from us, whatever else we do
MAX_REFETCH = 5
# what a full or read-only disk here says; a fetch that ends otherwise did not find the file there
OURS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
SURE = ('ssh', 'local')                 # connections that see every folder that the user sees


class SenderGone(Exception):
    """The process on the node ended before its work was done. Its last words are the message."""


class Unfetchable(Exception):
    """The connection cannot fetch from the folder that the spool is in, or not put a file there. The message: its last words."""


def transport(connection: Any) -> str:
    """The connection's name, without that of its collection if it is one of Ansible's own."""
    name = str(getattr(connection, 'transport', ''))
    return name[len('ansible.builtin.'):] if name.startswith('ansible.builtin.') else name


class Session:
    """One detached rescue, from its start to its end.

    ACTION: the action plugin. STARTED: what the module said. SCRATCH: a private folder here. SHOW(snapshot): progress.
    ROOM: bytes that may be on their way at a time.
    RECEIVER None: bundles stay on the node, only the result comes.
    """

    def __init__(self, action: Any, started: door.Started, receiver: Receiver, scratch: str,
                 show: Callable[[Optional[door.Snapshot]], None], patience: float, room: int = 64 << 20) -> None:
        self._action = action
        self._started = started
        self._receiver = receiver
        self._scratch = scratch
        self._show = show
        self._patience = patience
        self._room = max(room, 4 * channel.MAX_CHUNK)
        self._parent = os.getppid()
        self._next = 0                  # number of the chunk to fetch; those before it were checked
        self._largest = spool.MIN_CHUNK
        self._refetched = 0
        self._told: dict[str, str] = {}
        self._stepped = time.monotonic()
        self._pool = concurrent.futures.ThreadPoolExecutor(1)
        self._pending: collections.deque[Any] = collections.deque()         # chunks that are written
        self._coming: collections.deque[Any] = collections.deque()          # (size, future) of chunks that are fetched
        self._fetchers = concurrent.futures.ThreadPoolExecutor(FETCHERS) if transport(action._connection) == 'ssh' else None

    # -- the whole ---------------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Fetch and step until the receiver has the end. Raises SenderGone, ProtocolError, AnsibleError (connection lost for good)."""
        while self._receiver.ended is None:
            if os.getppid() != self._parent:
                raise AnsibleError('ansible-playbook has ended')
            answer = self._step(wait=0 if self._coming else STEP_WAIT)
            self._show(answer.state)
            self._ask_for(answer.chunks)
            self._collect()
            # a short chunk was handed over for a reason: a question, the end
            if not self._coming and (answer.over or not answer.chunks or answer.chunks[-1].size < self._largest):
                self._settle()
            if self._receiver.asked:
                self._answer()
            if not answer.alive and not answer.chunks and self._receiver.ended is None:
                raise SenderGone(answer.said)
            if answer.over and not answer.chunks and not self._coming and self._receiver.ended is None:
                raise ProtocolError('the end is missing')
        self._show(None)

    def probe(self) -> None:
        """Try both ways with a few bytes. Raises Unfetchable, AnsibleError (connection lost for good)."""
        if transport(self._action._connection) in SURE:
            return
        why: Any = None
        for dummy in range(2):
            try:
                if self._probed():
                    return
                why = 'what came is not what is there'
            except (AnsibleError, OSError) as exc:
                why = exc
            self._again(lambda: self._call({}))     # or is it the connection as a whole?
        raise Unfetchable(wording.show(str(why).partition('\n')[0][:500]))

    def _probed(self) -> bool:
        local = os.path.join(self._scratch, 'probe')
        wanted = self._started.name.encode()
        try:
            with guard.limited({local: len(wanted)}):
                self._action._connection.fetch_file(f'{self._started.spool}/{spool.PROBE}', local)
            with open(local, 'rb') as came:
                if came.read(len(wanted) + 1) != wanted:
                    return False
            self._action._connection.put_file(local, f'{self._started.spool}/{spool.INBOX}')
        finally:
            if os.path.lexists(local):
                os.unlink(local)
        return self._call({'probe': hashlib.sha256(wanted).hexdigest()}).probed

    def stop(self) -> None:
        """Remove everything from the node; best effort, as the node does so itself when it hears nothing more."""
        for dummy in range(1 if self._receiver.ended is None else 2):
            try:
                self._call({'stop': True})
                return
            except AnsibleError:        # after a run that went well, once more: all the rest got through
                pass

    def close(self) -> None:
        if self._fetchers:
            self._fetchers.shutdown(wait=True)
        self._pool.shutdown(wait=True)
        self._receiver.close()

    # -- steps ---------------------------------------------------------------------------------------------------------------------

    def _step(self, **request: Any) -> door.Step:
        failed = dict(self._receiver.failed)
        if failed != self._told:
            request['failed'] = failed
        answer = self._again(lambda: self._call(dict(request, free=self._next)))
        self._told = failed
        return answer

    def _call(self, request: dict[str, Any]) -> door.Step:
        """One step. Which Python it takes is written in the spool: nothing that the node says is a word of this command."""
        script = shlex.quote(f'{self._started.spool}/{spool.STEP}')
        found = self._action._low_level_execute_command('if [ -f %s ]; then exec sh %s %s; else echo %s; fi' % (
            script, script, shlex.quote(json.dumps(request)), shlex.quote(spool.MARKER + GONE)))
        self._stepped = time.monotonic()
        for line in found['stdout'].splitlines():
            place = line.find(spool.MARKER)
            if place >= 0 and not found.get('rc'):
                return door.step(line[place + len(spool.MARKER):])
        if 'ModuleNotFoundError' in found['stderr'] + found['stdout']:
            return door.Step()          # the spool went with the library
        raise AnsibleConnectionFailure('a step of the rescue gave no answer (status %s): %s' % (
            found.get('rc'), _last_line(found['stderr'] or found['stdout'])))

    def _again(self, work: Callable[[], Any]) -> Any:
        """WORK(), tried again while the connection is lost, for at most `patience` seconds."""
        until, pause = None, 1.0
        while True:
            try:
                return work()
            except AnsibleError:
                now = time.monotonic()
                until = until or now + self._patience
                if now + pause > until:
                    raise
                reset(self._action)
                time.sleep(pause)
                pause = min(pause * 1.6, 10.0)

    # -- chunks ----------------------------------------------------------------------------------------------------------------------

    def _ask_for(self, chunks: tuple[door.Chunk, ...]) -> None:
        """Begin to fetch further chunks, as many as may be on their way at a time."""
        for chunk in chunks:
            wanted = self._next + len(self._coming)
            if chunk.number < wanted:
                continue                # on its way, or here and not freed yet
            if chunk.number > wanted:
                raise ProtocolError('a chunk is missing')
            if self._coming and sum(size for size, dummy in self._coming) + chunk.size > self._room:
                break
            if self._fetchers:
                self._coming.append((chunk.size, self._fetchers.submit(self._fetch, chunk)))
            else:
                done: concurrent.futures.Future[Any] = concurrent.futures.Future()
                try:
                    done.set_result(self._fetch(chunk))
                except (AnsibleError, ProtocolError) as exc:
                    done.set_exception(exc)
                self._coming.append((chunk.size, done))
                if time.monotonic() - self._stepped > STEP_EVERY or done.exception():
                    break

    def _fetch(self, chunk: door.Chunk) -> bytes:
        """A chunk that was checked. AnsibleError if it could not be had, ProtocolError if it is larger than it may be."""
        local = os.path.join(self._scratch, 'chunk-%d' % chunk.number)
        there = f'{self._started.spool}/{channel.chunk_name(chunk.number, chunk.sha256)}'
        # a connection object keeps notes about the command at work; threads need one each
        connection = copy.copy(self._action._connection) if self._fetchers else self._action._connection
        try:
            with guard.limited({local: chunk.size}):
                connection.fetch_file(there, local)
            with open(local, 'rb') as fetched:
                raw = fetched.read(chunk.size + 1)
            os.unlink(local)
        except OSError as exc:
            if exc.errno not in OURS:   # a plugin that copies by itself, and the spool is gone
                raise AnsibleConnectionFailure('chunk %d could not be fetched: %s' % (chunk.number, exc)) from exc
            raise AnsibleActionFail('The folder for temporary files on the controller, %s, took no chunk of %s: %s. Choose '
                                    'another one with ANSIBLE_LOCAL_TEMP.' % (self._scratch, wording.number(chunk.size, 'byte'), exc.strerror)) from exc
        if len(raw) != chunk.size or hashlib.sha256(raw).hexdigest() != chunk.sha256:
            raise AnsibleConnectionFailure('chunk %d was damaged on its way' % chunk.number)
        return raw

    def _collect(self) -> None:
        """Hand on what has come, in order; wait for one if some are on their way."""
        waited = False
        while self._coming:
            size, chunk = self._coming[0]
            if waited and not chunk.done():
                return
            try:
                raw = chunk.result(timeout=STEP_EVERY)
            except concurrent.futures.TimeoutError:
                return                  # slow: the node wants to hear from us
            except AnsibleError:
                # the connection, or a node that is gone: the next step knows
                while self._coming:
                    concurrent.futures.wait([self._coming.popleft()[1]])
                self._refetched += 1
                if self._refetched > MAX_REFETCH:
                    raise
                reset(self._action)
                return
            waited = True
            self._coming.popleft()
            self._refetched = 0
            self._largest = max(self._largest, size)
            self._next += 1
            self._pending.append(self._pool.submit(self._receiver.feed, raw))
            while len(self._pending) > AHEAD:
                self._pending.popleft().result()

    def _settle(self) -> None:
        """Wait until everything that came is written."""
        while self._pending:
            self._pending.popleft().result()

    # -- questions ---------------------------------------------------------------------------------------------------------------------

    def _answer(self) -> None:
        asked = self._receiver.asked
        if asked is None:
            return
        work = self._pool.submit(self._receiver.answer)
        while True:
            try:
                found = work.result(timeout=STEP_EVERY)
                break
            except concurrent.futures.TimeoutError:
                self._step()
        raw = json.dumps(found).encode('utf-8')
        local = os.path.join(self._scratch, 'answer')
        with open(local, 'wb') as target:
            target.write(raw)
        try:
            for dummy in range(MAX_REFETCH):
                self._again(lambda: self._action._connection.put_file(local, f'{self._started.spool}/{spool.INBOX}'))
                answer = self._step(reply={'number': asked.number, 'sha256': hashlib.sha256(raw).hexdigest()})
                if not answer.refused:
                    return
            raise AnsibleConnectionFailure(answer.refused)
        finally:
            os.unlink(local)


def reset(action: Any) -> None:
    """Drop a connection that may be dead."""
    try:
        if type(action._connection).reset is ConnectionBase.reset:
            action._connection.close()  # it has none of its own, and would only say so
        else:
            action._connection.reset()
    except Exception:                   # whatever a connection plugin does here, the next call connects anew
        try:
            action._connection.close()
        except Exception:
            pass


def _last_line(said: Any) -> str:
    lines = [line.strip() for line in str(said or '').splitlines() if line.strip()]
    return wording.show(lines[-1][:500]) if lines else ''
