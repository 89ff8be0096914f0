"""Starting a rescue on the node and bringing what it sends, again where its process ended too early.

The module starts a process of its own on the node and returns; Session fetches from that. Four things can go wrong: the host is lost
(wait and start again), the connection cannot fetch from the folder that the node took (start again with another one), the process ends
(start again: whole bundles are kept), or the node says something invalid (the task ends).
"""
from __future__ import annotations

import time
from typing import Any, Callable, NamedTuple, Optional

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError
from ansible.utils.display import Display

from ansible_collections.lifeboat.docker.plugins.module_utils.bundles.store import FolderStore
from ansible_collections.lifeboat.docker.plugins.module_utils.formats.wording import number, show as plain
from ansible_collections.lifeboat.docker.plugins.module_utils.rescue.run import settle
from ansible_collections.lifeboat.docker.plugins.plugin_utils import delivery as ends, delivery_door as door
from ansible_collections.lifeboat.docker.plugins.plugin_utils.delivery_session import (
    SenderGone,
    Session,
    Unfetchable,
    reset,
    transport,
)

display = Display()
MAX_STARTS = 3                          # without anything new between two of them,
MAX_RESTARTS = 100                      # and with
MAX_PLACES = 8                          # that the connection cannot fetch from
PAUSE = 3                               # seconds before a lost host is tried again
ABOUT_JOB = ('ansible_job_id', 'started', 'finished', 'results_file', 'failed', 'msg', 'skipped', 'invocation',
             'exception', 'rc', 'module_stdout', 'module_stderr', 'unreachable')


def known(said: dict[str, Any]) -> dict[str, Any]:
    """The result of the module on a host that keeps its bundles: what a rescue says and Ansible needs, and no facts or variables."""
    found = {key: value for key, value in said.items() if key in ABOUT_JOB or key.startswith('_ansible_')}
    found.update(told(said))
    if 'bundles' in said:
        found.update(door.result(said))
    elif 'changed' in said:
        found['changed'] = bool(said['changed'])
    return found


def told(said: dict[str, Any]) -> dict[str, Any]:
    """The warnings and deprecations of a result, those that there are."""
    found = {'warnings': door.warnings(said.get('warnings')), 'deprecations': door.deprecations(said.get('deprecations'))}
    return {key: value for key, value in found.items() if value}


def failure(said: dict[str, Any]) -> dict[str, Any]:
    """The result of a start that failed on the host, with its text on one line."""
    found = known(said)
    if isinstance(found.get('msg'), str):
        found['msg'] = plain(found['msg'])
    return found


class Ways(NamedTuple):
    """What does not change from one attempt to the next.

    STORE: receives the bundles here; None: they stay on the node, and only progress comes. PREPARE: called before the first of them is
    written. SCRATCH: a private folder here. SHOW(snapshot): progress. PATIENCE: seconds in which a lost connection may come back.
    ROOM: bytes that may be on their way at a time. EXECUTE(delivery): what the module says. ALONE(): its result without a delivery.
    """
    store: Optional[FolderStore]
    prepare: Callable[[], None]
    scratch: str
    show: Callable[[Optional[door.Snapshot]], None]
    patience: float
    room: int
    execute: Callable[[dict[str, Any]], dict[str, Any]]
    alone: Callable[[], dict[str, Any]]


class Attempts:
    """ACTION: the action plugin, whose host has answered before. DELIVERY: what the module is told of this machine; gets the folders that it shall avoid."""

    def __init__(self, action: Any, ways: Ways, delivery: dict[str, Any]) -> None:
        self._action = action
        self._ways = ways
        self._delivery = delivery
        self._check_mode = bool(action._task.check_mode)
        self._connected = False
        self._until: Optional[float] = None         # when a lost host is given up
        self._blind = ''                            # why the connection cannot fetch from the folders to avoid
        self._starts = 0
        self._fruitless = 0                         # of them without anything new, in a row
        self._written: set[str] = set()             # bundles of starts that ended too early

    def run(self) -> dict[str, Any]:
        """The result of the task. AnsibleError, ProtocolError, LifeboatError."""
        while True:
            said = self._start()
            result = self._without_delivery(said) if said is not None else None
            if said is not None and result is None:
                result = self._bring(said)
            if result is not None:
                return result

    def _start(self) -> Optional[dict[str, Any]]:
        """What the module says; None where the host was lost and is to be tried again."""
        try:
            return self._ways.execute(self._delivery)
        except AnsibleError as exc:
            # It has told who logs in, so a connection that is lost may come back, and a second start ends the first one. What else fails
            # at the first start fails for ever.
            self._until = self._until or time.monotonic() + self._ways.patience
            if not (self._connected or isinstance(exc, AnsibleConnectionFailure)) or time.monotonic() > self._until:
                raise
            reset(self._action)
            time.sleep(PAUSE)
            return None

    def _without_delivery(self, said: dict[str, Any]) -> Optional[dict[str, Any]]:
        """The result where the module has started nothing to fetch from; None where it has."""
        avoid = self._delivery.get('avoid', [])
        if self._blind and (said.get('failed') or len(avoid) > MAX_PLACES):
            raise AnsibleActionFail(
                'The connection %s cannot fetch files from %s: %s. Name a folder with spool_dir that it can fetch from (one '
                'that is no mount inside the container), or use another connection.' % (
                    transport(self._action._connection), ', '.join(avoid), self._blind.rstrip('.')))
        if said.get('failed') or said.get('skipped'):
            return failure(said)
        if said.get('delivery') is not None:
            return None
        if self._ways.store is not None:
            raise door.ProtocolError('the rescue was not started')
        display.vv('no progress can be shown: the host has no place for it, or the user is not the one who logs in')
        return self._ways.alone()

    def _bring(self, said: dict[str, Any]) -> Optional[dict[str, Any]]:
        """Fetch until the end, and return the result; None where the module has to be started again."""
        self._connected, self._until = True, None
        started = door.started(said['delivery'], self._delivery['places'])
        receiver = ends.Receiver(self._ways.store, self._ways.prepare, self._check_mode)
        session = Session(self._action, started, receiver, self._ways.scratch, self._ways.show, self._ways.patience, self._ways.room)
        try:
            session.probe()
            session.run()
            return self._finished(receiver, said)
        except Unfetchable as exc:
            self._blind = str(exc)
            self._delivery['avoid'] = self._delivery.get('avoid', []) + [started.place]
            display.vv('the connection cannot fetch from %s (%s)' % (started.place, exc))
        except SenderGone as exc:
            self._count(receiver, exc)
        finally:
            _close(session)
        return None

    def _finished(self, receiver: ends.Receiver, said: dict[str, Any]) -> dict[str, Any]:
        result = receiver.result(self._written)
        if self._ways.store is not None and not self._check_mode and not result.get('failed'):
            # what lies beside the bundles on this machine
            made, problems = settle(self._ways.store)
            result['compose'] = made
            result['changed'] = result['changed'] or bool(made)
            result['problems'] = result.get('problems', []) + [dict(item._asdict()) for item in problems]
        result.update(told(said))
        return result

    def _count(self, receiver: ends.Receiver, exc: SenderGone) -> None:
        """One start that ended too early. AnsibleActionFail where there were too many."""
        self._written |= receiver.written
        self._fruitless = 0 if receiver.bytes else self._fruitless + 1
        self._starts += 1
        if self._fruitless >= MAX_STARTS or self._starts > MAX_RESTARTS:
            raise AnsibleActionFail('The rescue on the host ended %s without a result%s.' % (
                number(self._starts, 'time'), ': ' + str(exc) if str(exc) else '')) from exc
        display.vv('the rescue on the host ended (%s), starting it again' % exc)


def _close(session: Session) -> None:
    try:
        session.stop()
    except door.ProtocolError as exc:   # it has said enough
        display.vv('the host did not stop: %s' % exc)
    session.close()
