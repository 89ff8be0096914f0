# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of docker_data_rescue: brings bundles here, shows progress, leaves the node clean."""
from __future__ import annotations

import contextlib
import datetime
import hashlib
import os
import re
import shlex
import socket
import tempfile
import time
from typing import TYPE_CHECKING, Any, Callable

from ansible import constants as C
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

# All of it here: the process that forks the workers loads this file, so that none of them has to.
from ansible_collections.lifeboat.docker.plugins.module_utils.archive import removal
from ansible_collections.lifeboat.docker.plugins.module_utils.archive.progress import Teller
from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import store as stores
from ansible_collections.lifeboat.docker.plugins.module_utils.cli import report
from ansible_collections.lifeboat.docker.plugins.module_utils.disk import fsinfo
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.formats import quantities
from ansible_collections.lifeboat.docker.plugins.module_utils.formats.wording import show as plain, text
from ansible_collections.lifeboat.docker.plugins.module_utils.rescue import target
from ansible_collections.lifeboat.docker.plugins.module_utils.rescue.run import folder_name, settle, verdict
from ansible_collections.lifeboat.docker.plugins.module_utils.transport import remote, spool
from ansible_collections.lifeboat.docker.plugins.plugin_utils import (
    delivery as ends,
    delivery_door as door,
    interrupts,
    jobplace,
    plaindata,
    rescue_report,
)
from ansible_collections.lifeboat.docker.plugins.plugin_utils.delivery_session import (
    SenderGone,
    Session,
    Unfetchable,
    reset,
    transport,
)

if TYPE_CHECKING:
    from ansible_collections.lifeboat.docker.plugins.module_utils.records.model import Problem

display = Display()
IN_MEMORY = '/dev/shm'
TIGHT = 8 * 1024                        # KiB: what Ansible's own files need, and some
ROOM = re.compile(r'\s([0-9]{1,19})\s+[0-9]+\s+(-?[0-9]{1,19})\s+(?:[0-9]+%|-)\s')     # a line of df -P: all and free, blocks or inodes
LISTS = ('data_roots', 'containers', 'include', 'volumes', 'images', 'paths')      # that may come as one text, with commas
MAX_STARTS = 3                          # without anything new between two of them,
MAX_RESTARTS = 100                      # and with
MAX_PLACES = 8                          # that the connection cannot fetch from


class ActionModule(ActionBase):
    _supports_check_mode = True
    _supports_async = True
    _own_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        del tmp
        task_vars = task_vars or {}
        args = dict(self._task.args)
        args.pop('delivery', None)
        for name in LISTS:
            if isinstance(args.get(name), str):
                args[name] = [item.strip() for item in args[name].split(',') if item.strip()]
        if not args.get('host_name'):
            args['host_name'] = task_vars.get('inventory_hostname')
        fail_on = args.get('fail_on', 'lost')
        if fail_on in ('lost', 'partial') and not self._task.async_val:
            args['fail_on'] = 'never'   # judged below, after the record for the report
        started = datetime.datetime.now(datetime.timezone.utc)
        try:
            result.update(self._rescue(args, task_vars))
        except door.ProtocolError as exc:
            error = AnsibleActionFail('The host sent an invalid message: %s. Nothing of it got a final name.' % exc)
            self._record(args, task_vars, started, {'failed': True, 'msg': str(error)})
            raise error from exc
        except BaseException as exc:
            self._record(args, task_vars, started, {
                'failed': True, 'unreachable': isinstance(exc, AnsibleConnectionFailure),
                'msg': 'The run was interrupted.' if isinstance(exc, KeyboardInterrupt) else str(exc)})
            raise
        self._record(args, task_vars, started, result)
        summary = result.get('summary')
        if isinstance(summary, dict) and not result.get('failed'):
            if args.get('report_dir') or self._wants_progress(args.get('progress', 'auto')):
                display.display(_table(task_vars.get('inventory_hostname') or args['host_name'], result, _width(),
                                       bool(self._task.check_mode)))
            why = verdict(result, fail_on)
            if why:
                result.update(failed=True, msg=why)
        return result

    def _rescue(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        on_controller = args.get('store_on') == 'controller'
        shown = self._wants_progress(args.get('progress', 'auto')) and not self._task.async_val
        if on_controller and self._task.async_val:
            raise AnsibleActionFail('store_on: controller is no task for async: the connection is in use until the end. '
                                    'Remove async and use forks or strategy: free.')
        if on_controller or (shown and not self._task.check_mode and args.get('dest')):
            return self._deliver(args, task_vars, on_controller, shown)
        return self._on_host(args, task_vars)

    def _on_host(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """The module alone, without what no rescue says."""
        return _known(self._execute_module(module_args=args, task_vars=task_vars, wrap_async=self._task.async_val))

    def _record(self, args: dict[str, Any], task_vars: dict[str, Any], started: datetime.datetime, result: dict[str, Any]) -> None:
        """Keep what became of this host, for the report: at once, as later the play may be gone."""
        if not args.get('report_dir') or self._task.check_mode or result.get('ansible_job_id'):
            return
        host = str(task_vars.get('inventory_hostname') or args['host_name'])
        # not all of it: ansible-core adds objects of its own to a failure
        said = {key: plaindata.plain(result[key]) for key in ('failed', 'unreachable', 'msg', 'summary', 'bundles', 'problems')
                if key in result}
        record = rescue_report.host_record(said, host, {key: str(args[key]) for key in ('store_on', 'dest') if args.get(key)}, started)
        try:
            rescue_report.write_record(os.path.abspath(os.path.expanduser(str(args['report_dir']))), record)
        except OSError as exc:
            display.warning('No record of the rescue of %s could be kept in %s: %s' % (host, args['report_dir'], exc.strerror))

    # -- options -------------------------------------------------------------------------------------------------------------

    def _wants_progress(self, value: Any) -> bool:
        value = str(value).lower()
        if value in ('true', 'yes', 'on', '1'):
            return True
        return value == 'auto' and (_terminal() or any(name in os.environ for name in (
            'AWX_ISOLATED_DATA_DIR', 'AWX_HOST', 'JOB_ID')))

    def _folder(self, args: dict[str, Any]) -> tuple[bytes, bytes]:
        """The folder for this host below dest, as a path on this machine."""
        if not args.get('dest') or not isinstance(args['dest'], str):
            raise AnsibleActionFail('missing required arguments: dest')
        dest = os.path.abspath(os.path.expanduser(os.path.expandvars(args['dest'])))
        confirmed = str(args.get('confirm_dest', False)).lower() in ('true', 'yes', 'on', '1')
        if jobplace.vanishes(dest) and not confirmed:
            raise AnsibleActionFail(
                'dest %s lies in the job\'s container and is deleted with it. Choose a path that the execution environment mounts '
                'from outside, or say confirm_dest: true if this one is.' % dest)
        if os.path.lexists(dest) and not os.path.isdir(dest):
            raise AnsibleActionFail('dest %s is a file, not a folder. Choose another dest.' % dest)
        return os.fsencode(dest), folder_name(str(args['host_name'] or 'host'))

    def _login_uid(self) -> int:
        """Who logs in, whoever is become afterwards. On the way: where the disk is full, Ansible works in memory too."""
        found = self._low_level_execute_command(
            'id -u; for d in "$HOME" /tmp %s; do test -w "$d" && echo "room $d" && df -Pk "$d" | tail -n 1 && df -Pi "$d" | tail -n 1; '
            'done; true' % IN_MEMORY, sudoable=False)
        if _is_tight(found['stdout']):
            self._work_in_memory()
        uid = door.user_id(found['stdout'])
        if uid is None:
            raise AnsibleActionFail('The user who logs in cannot be told: id -u said %s.' % plain((found['stdout'] + found['stderr'])[:200]))
        return uid

    def _work_in_memory(self) -> None:
        """The folders of Ansible and of Python for temporary files have no room: take one that is no disk."""
        shell = self._connection._shell
        try:
            if str(shell.get_option('remote_tmp')).startswith('~'):     # else the user has chosen
                shell.set_option('remote_tmp', IN_MEMORY)
        except (AnsibleError, KeyError, AttributeError):
            return
        given = self._task.environment or []
        # before what the user gives, which wins
        self._task.environment = [{'TMPDIR': IN_MEMORY}] + (list(given) if isinstance(given, (list, tuple)) else [given])
        display.vv('the host has no room for temporary files; they go to %s' % IN_MEMORY)

    def _uncompressed(self) -> None:
        """What comes is compressed already: with ssh's own -C (a default of Ansible) it would come at half the speed."""
        connection = self._connection
        if transport(connection) != 'ssh':
            return
        try:
            words = shlex.split(connection.get_option('ssh_args') or '')
            if '-C' not in words or connection.get_option('control_path'):
                return
            words.remove('-C')
            connection.set_option('ssh_args', ' '.join(shlex.quote(word) for word in words))
            # a connection that other tasks have open is compressed: one of our own
            connection.set_option('control_path', '%%(directory)s/%s' % os.urandom(5).hex())
        except (AnsibleError, KeyError, ValueError, AttributeError):
            return
        self._own_connection = True

    # -- the work --------------------------------------------------------------------------------------------------------------

    def _deliver(self, args: dict[str, Any], task_vars: dict[str, Any], on_controller: bool, shown: bool) -> dict[str, Any]:
        patience = _quantity(args, 'reconnect_timeout', '2m', quantities.seconds)
        doubts = _doubts(self._folder(args)[0]) if on_controller else []
        host = task_vars.get('inventory_hostname') or args['host_name']
        if on_controller and args.get('compression') != 'none':
            self._uncompressed()
        delivery: dict[str, Any] = {'uid': self._login_uid(), 'folder': None, 'free': 0, 'where': [None, []],
                    'places': _places(args), 'patience': _node_patience(patience)}
        store, path = None, b''
        if on_controller:
            dest, folder = self._folder(args)
            store = stores.FolderStore(dest, folder)
            path = store.path
            delivery['folder'] = text(path)
            delivery['where'] = remote.identity(path)
        delivery['key'] = hashlib.sha256(repr((socket.gethostname(), path, args['dest'], host)).encode()).hexdigest()
        teller, width = Teller(), _width()

        def show(snapshot: Any) -> None:
            line = teller.line(snapshot and snapshot._asdict(), width and width - len(str(host)) - 3) if shown else None
            if line:
                display.display('[%s] %s' % (host, plain(line)))

        with contextlib.ExitStack() as stack:
            old = os.umask(0o077)
            stack.callback(os.umask, old)
            stack.enter_context(interrupts.signals())
            scratch = tempfile.mkdtemp(prefix='lifeboat-', dir=C.DEFAULT_LOCAL_TMP)
            stack.callback(removal.discard, scratch)

            def prepare() -> None:
                """Not before the node has said that dest is not in what it reads; once."""
                if store is not None and not self._task.check_mode and not prepared:
                    store.prepare()
                    stack.callback(store.close)
                    store.lock()
                    prepared.append(True)

            prepared = []
            try:
                if on_controller:
                    delivery['free'] = fsinfo.free(path).bytes
                return _with_problems(self._attempts(args, task_vars, delivery, (store, prepare), scratch, show, patience), doubts)
            except LifeboatError as exc:
                raise AnsibleActionFail(str(exc)) from exc
            finally:
                if self._own_connection:
                    reset(self)

    @staticmethod
    def _settle(store: stores.FolderStore, result: dict[str, Any]) -> None:
        """What lies beside the bundles on this machine."""
        written, problems = settle(store)
        result['compose'] = written
        result['changed'] = result['changed'] or bool(written)
        result['problems'] = result.get('problems', []) + [dict(item._asdict()) for item in problems]

    def _attempts(self, args: dict[str, Any], task_vars: dict[str, Any], delivery: dict[str, Any],
                  store: tuple[stores.FolderStore | None, Callable[[], None]], scratch: str, show: Callable[[Any], None],
                  patience: int) -> dict[str, Any]:
        """Start on the node and fetch; once more where the node's process is gone and something new had come."""
        fruitless, connected = 0, False
        blind = None                    # why the folders of delivery['avoid'] will not do
        until = None
        starts = 0
        written = set()                 # by starts that ended too early
        while True:
            try:
                said = self._execute_module(module_args=dict(args, delivery=delivery), task_vars=task_vars)
            except AnsibleError:
                # the first time it is Ansible's business: the host is unreachable
                until = until or time.monotonic() + patience
                if not connected or time.monotonic() > until:
                    raise
                reset(self)
                time.sleep(3)
                continue
            if blind and (said.get('failed') or len(delivery['avoid']) > MAX_PLACES):
                raise AnsibleActionFail(
                    'The connection %s cannot fetch files from %s: %s. Name a folder with spool_dir that it can fetch from (one '
                    'that is no mount inside the container), or use another connection.' % (
                        transport(self._connection), ', '.join(delivery['avoid']), blind.rstrip('.')))
            if said.get('failed') or said.get('skipped'):
                return _failure(said)
            if said.get('delivery') is None:
                if store[0] is not None:
                    raise door.ProtocolError('the rescue was not started')
                display.vv('no progress can be shown: the host has no place for it, or the user is not the one who logs in')
                return self._on_host(args, task_vars)
            connected, until = True, None
            started = door.started(said['delivery'], delivery['places'])
            receiver = ends.Receiver(store[0], store[1], bool(self._task.check_mode))
            session = Session(self, started, receiver, scratch, show, patience, _quantity(args, 'spool_size', '64M', quantities.size))
            try:
                session.probe()
                session.run()
                result = receiver.result(written)
                if store[0] is not None and not self._task.check_mode and not result.get('failed'):
                    self._settle(store[0], result)
                for key in ('warnings', 'deprecations'):
                    if said.get(key):
                        result[key] = door.harmless(said[key])
                return result
            except Unfetchable as exc:
                blind = str(exc)
                delivery['avoid'] = delivery.get('avoid', []) + [started.place]
                display.vv('the connection cannot fetch from %s (%s)' % (delivery['avoid'][-1], exc))
            except SenderGone as exc:
                written |= receiver.written
                fruitless = 0 if receiver.bytes else fruitless + 1
                starts += 1
                if fruitless >= MAX_STARTS or starts > MAX_RESTARTS:
                    raise AnsibleActionFail('The rescue on the host ended %d times without a result%s.' % (
                        starts, ': ' + str(exc) if str(exc) else '')) from exc
                display.vv('the rescue on the host ended (%s), starting it again' % exc)
            finally:
                try:
                    session.stop()
                except door.ProtocolError as exc:       # it has said enough
                    display.vv('the host did not stop: %s' % exc)
                session.close()


def _doubts(dest: bytes) -> list[Problem]:
    """Problems of DEST on this machine, as the module looks at one on the host. AnsibleActionFail for one that is refused."""
    try:
        return target.local(dest)
    except LifeboatError as exc:
        raise AnsibleActionFail(str(exc)) from exc


def _with_problems(result: dict[str, Any], problems: list[Problem]) -> dict[str, Any]:
    """RESULT of a rescue with further PROBLEMS, counted; a failure has none."""
    summary = result.get('summary')
    if problems and isinstance(summary, dict):
        result['problems'] = [dict(item._asdict()) for item in problems] + (result.get('problems') or [])
        summary['problems'] = (summary.get('problems') or 0) + len(problems)
    return result


def _quantity(args: dict[str, Any], name: str, default: str, read: Callable[[Any], int]) -> int:
    """The option NAME, read by a function of formats.quantities."""
    try:
        return read(args.get(name) or default)
    except ValueError as exc:
        raise AnsibleActionFail('The option %s: %s.' % (name, exc)) from None


def _places(args: dict[str, Any]) -> list[str]:
    """The folders on the node that may hold the spool: that of the user, or the usual ones. The node picks one by its number."""
    wanted = args.get('spool_dir')
    if not wanted:
        return list(spool.PLACES)
    if not isinstance(wanted, str) or not wanted.startswith('/') or not wanted.isprintable() or '..' in wanted.split('/'):
        raise AnsibleActionFail('spool_dir must be an absolute path without control characters, not %s.' % plain(str(wanted)))
    return [os.path.normpath(wanted).replace('//', '/')]


ABOUT_JOB = ('ansible_job_id', 'started', 'finished', 'results_file', 'failed', 'msg', 'skipped', 'invocation', 'warnings', 'deprecations',
             'exception', 'rc', 'module_stdout', 'module_stderr', 'unreachable')


def _known(said: dict[str, Any]) -> dict[str, Any]:
    """The result of the module on a host that keeps its bundles: what a rescue says and Ansible needs, and no facts or variables."""
    found = {key: value for key, value in said.items() if key in ABOUT_JOB or key.startswith('_ansible_')}
    if 'bundles' in said:
        found.update(door.result(said))
    elif 'changed' in said:
        found['changed'] = bool(said['changed'])
    return found


def _failure(said: dict[str, Any]) -> dict[str, Any]:
    """The result of a start that failed on the host, with its text on one line."""
    found = _known(said)
    if isinstance(found.get('msg'), str):
        found['msg'] = plain(found['msg'])
    return found


def _is_tight(said: str) -> bool:
    """True if a usual place for temporary files is full and memory has room. SAID: what the command of _login_uid prints."""
    rooms = {}
    for part in re.split(r'^room ', said, flags=re.MULTILINE)[1:]:
        name, dummy, rest = part.partition('\n')
        found = [(int(match.group(1)), int(match.group(2))) for match in ROOM.finditer(rest)]
        if found:
            # some file systems do not count inodes
            rooms[name] = 0 if len(found) > 1 and found[1][0] and found[1][1] < 10 else found[0][1]
    memory = rooms.pop(IN_MEMORY, 0)
    return memory >= 2 * TIGHT and any(free < TIGHT for free in rooms.values())


def _node_patience(reconnecting: int) -> int:
    """Seconds after which the node ends its work if it hears nothing: longer than we try to come back."""
    return max(60, 2 * reconnecting + 30)


def _terminal() -> bool:
    """True if the output of ansible-playbook goes to a terminal. Workers have none of their own any more."""
    for process in (os.getpid(), os.getppid()):
        try:
            if os.readlink('/proc/%d/fd/1' % process).startswith(('/dev/pts/', '/dev/tty', '/dev/console')):
                return True
        except OSError:
            continue
    return False


def _width() -> int | None:
    """Characters of a line on the terminal, None where there is none: then nothing has to be cut."""
    return int(getattr(display, 'columns', None) or 79) if _terminal() else None


def _table(host: str, result: dict[str, Any], width: int | None = None, check_mode: bool = False) -> str:
    """The end of one host, as the tool lifeboat prints it. WIDTH: see _width()."""
    return '\n'.join(report.rescued(result, width, check_mode=check_mode, head='[%s] ' % plain(host)))
