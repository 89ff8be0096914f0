"""Controller side of docker_data_rescue: brings bundles here, shows progress, leaves the node clean."""
from __future__ import annotations

import contextlib
import datetime
import hashlib
import os
import shlex
import socket
import tempfile
from typing import Any

from ansible import constants as C
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

# All of it here: the process that forks the workers loads this file, so that none of them has to.
from ansible_collections.lifeboat.docker.plugins.module_utils.archive import removal
from ansible_collections.lifeboat.docker.plugins.module_utils.archive.progress import Teller
from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import reading, store as stores, target
from ansible_collections.lifeboat.docker.plugins.module_utils.cli import report
from ansible_collections.lifeboat.docker.plugins.module_utils.disk import fsinfo
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.formats import quantities
from ansible_collections.lifeboat.docker.plugins.module_utils.formats.wording import show as plain, text
from ansible_collections.lifeboat.docker.plugins.module_utils.rescue.run import verdict
from ansible_collections.lifeboat.docker.plugins.module_utils.transport import remote
from ansible_collections.lifeboat.docker.plugins.plugin_utils import (
    delivery_attempts as attempts,
    delivery_door as door,
    delivery_options as options,
    interrupts,
    jobplace,
    plaindata,
    rescue_report,
    signing,
)
from ansible_collections.lifeboat.docker.plugins.plugin_utils.delivery_session import reset, transport

display = Display()
LISTS = ('data_roots', 'containers', 'include', 'volumes', 'images', 'paths')      # that may come as one text, with commas


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
            error = AnsibleActionFail('The host sent an invalid message: %s. The unfinished bundle did not get its final name.' % exc)
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
        key = args.pop('sign', None)
        if key and not on_controller:
            raise AnsibleActionFail('sign needs store_on: controller, for the key is on the controller and the bundles have to be.')
        if on_controller and self._task.async_val:
            raise AnsibleActionFail('store_on: controller does not work with async: the connection is in use until the end. '
                                    'Remove async and use forks or strategy: free.')
        if on_controller or (shown and not self._task.check_mode and args.get('dest')):
            result = self._deliver(args, task_vars, on_controller, shown)
            return self._signed(result, str(key), str(task_vars.get('inventory_hostname') or args['host_name'])) if key else result
        return self._on_host(args, task_vars)

    def _signed(self, result: dict[str, Any], key: str, host: str) -> dict[str, Any]:
        """Sign the bundles of RESULT, which are here, where they are not signed yet."""
        for bundle in result.get('bundles') or [] if not self._task.check_mode else []:
            path = bundle.get('path')
            # one that could not be written is not there
            if path and os.path.lexists(os.path.join(path, text(reading.SUMS))):
                try:
                    result['changed'] = signing.sign(path, key, host) or bool(result.get('changed'))
                except LifeboatError as exc:
                    raise AnsibleActionFail('The bundles are in dest, but not all are signed. %s' % exc) from exc
        return result

    def _on_host(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Run only the module; keep only the keys of its result that a rescue has."""
        return attempts.known(self._execute_module(module_args=args, task_vars=task_vars, wrap_async=self._task.async_val))

    def _record(self, args: dict[str, Any], task_vars: dict[str, Any], started: datetime.datetime, result: dict[str, Any]) -> None:
        """Write the record of this host for the report now, because the play may not reach its end."""
        if not args.get('report_dir') or self._task.check_mode or result.get('ansible_job_id'):
            return
        host = str(task_vars.get('inventory_hostname') or args['host_name'])
        # not all of it: ansible-core adds objects of its own to a failure
        said = {key: plaindata.plain(result[key]) for key in ('failed', 'unreachable', 'msg', 'summary', 'bundles', 'problems', 'deployment')
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
        return os.fsencode(dest), target.folder_name(str(args['host_name'] or 'host'))

    def _login_uid(self) -> int:
        """The ID of the user who logs in, without become. If the disk of the host is full, Ansible's temporary files go to memory from now on."""
        found = self._low_level_execute_command(options.ROOM_COMMAND, sudoable=False)
        if options.is_tight(found['stdout']):
            self._work_in_memory()
        uid = door.user_id(found['stdout'])
        if uid is None:
            raise AnsibleActionFail('The ID of the user who logs in is not known: id -u said %s.' % plain((found['stdout'] + found['stderr'])[:200]))
        return uid

    def _work_in_memory(self) -> None:
        """Use a folder in memory for temporary files of Ansible and Python, because the usual ones have no room."""
        shell = self._connection._shell
        try:
            if str(shell.get_option('remote_tmp')).startswith('~'):     # else the user has chosen
                shell.set_option('remote_tmp', options.IN_MEMORY)
        except (AnsibleError, KeyError, AttributeError):
            return
        given = self._task.environment or []
        # before what the user gives, which wins
        self._task.environment = [{'TMPDIR': options.IN_MEMORY}] + (list(given) if isinstance(given, (list, tuple)) else [given])
        display.vv('the host has no room for temporary files; they go to %s' % options.IN_MEMORY)

    def _uncompressed(self) -> None:
        """Switch ssh's -C (a default of Ansible) off: the data are compressed already, and -C halves the speed."""
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
        patience = options.quantity(args, 'reconnect_timeout', '2m', quantities.seconds)
        doubts = options.doubts(self._folder(args)[0]) if on_controller else []
        host = task_vars.get('inventory_hostname') or args['host_name']
        if on_controller and args.get('compression') != 'none':
            self._uncompressed()
        delivery: dict[str, Any] = {'uid': self._login_uid(), 'folder': None, 'free': 0, 'where': [None, []],
                                    'places': options.places(args), 'patience': options.node_patience(patience)}
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
                """Make dest; called once, after the node has said that dest is not in what it reads."""
                if store is not None and not self._task.check_mode and not prepared:
                    store.prepare()
                    stack.callback(store.close)
                    store.lock()
                    prepared.append(True)

            prepared = []
            try:
                if on_controller:
                    delivery['free'] = fsinfo.free(path).bytes
                ways = attempts.Ways(
                    store, prepare, scratch, show, patience, options.quantity(args, 'spool_size', '64M', quantities.size),
                    lambda delivery: self._execute_module(module_args=dict(args, delivery=delivery), task_vars=task_vars),
                    lambda: self._on_host(args, task_vars))
                return options.with_problems(attempts.Attempts(self, ways, delivery).run(), doubts)
            except LifeboatError as exc:
                raise AnsibleActionFail(str(exc)) from exc
            finally:
                if self._own_connection:
                    reset(self)


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
    """Width of the terminal in characters; None without a terminal: lines are not cut."""
    return int(getattr(display, 'columns', None) or 79) if _terminal() else None


def _table(host: Any, result: dict[str, Any], width: int | None = None, check_mode: bool = False) -> str:
    """The table of the results of one host, as the tool lifeboat prints it. WIDTH: see _width()."""
    return '\n'.join(report.rescued(result, width, check_mode=check_mode, head='[%s] ' % plain(host)))
