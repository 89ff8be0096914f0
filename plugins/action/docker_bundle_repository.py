"""docker_bundle_repository works on the controller alone: bundles go into a restic or borg repository, and come back."""
from __future__ import annotations

import contextlib
import os
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.formats import quantities, wording
from ansible_collections.lifeboat.docker.plugins.plugin_utils import interrupts, plaindata
from ansible_collections.lifeboat.docker.plugins.plugin_utils.repositories import base, fetching, hook, sending, tags

display = Display()
ARGUMENTS: dict[str, Any] = dict(
    state=dict(type='str', choices=['stored', 'pruned', 'listed', 'restored'], default='stored'),
    path=dict(type='list', elements='path', default=[]),
    repository=dict(type='str'),
    kind=dict(type='str', default='restic'),
    program=dict(type='str'),
    password=dict(type='str', no_log=True),
    password_file=dict(type='path', no_log=False),
    environment=dict(type='dict', default={}, no_log=True),
    init=dict(type='bool', default=False),
    lock_timeout=dict(type='str', default='10m'),
    chunker_params=dict(type='str'),
    keep=dict(type='dict', default={}),
    tags=dict(type='dict', default={}),
    every=dict(type='bool', default=False),
    dest=dict(type='path'),
    after_bundle=dict(type='list', elements='str', default=[]),
)


class ActionModule(ActionBase):
    _supports_check_mode = True
    _supports_async = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        del tmp
        dummy, given = self.validate_argument_spec(ARGUMENTS)
        args = plaindata.plain(dict(given))
        old = os.umask(0o077)
        try:
            with interrupts.signals(), contextlib.ExitStack() as stack:
                stack.callback(os.umask, old)
                result.update(self._work(args))
        except LifeboatError as exc:
            raise AnsibleActionFail(str(exc)) from exc
        return result

    def _work(self, args: dict[str, Any]) -> dict[str, Any]:
        state, check_mode = args['state'], bool(self._task.check_mode)
        repository = self._repository(args)
        if state == 'stored':
            return self._stored(args, repository, check_mode)
        if repository is None:
            raise LifeboatError('state: %s needs a repository.' % state)
        if state == 'pruned':
            keep = base.policy(args['keep'])
            if not keep:
                raise LifeboatError('state: pruned needs keep, which says what stays.')
            gone = repository.prune(keep, check_mode)
            return {'changed': gone > 0, 'removed': gone}
        wanted = tags.wanted(args['tags'])
        chosen = fetching.choose(repository.stored(), wanted, args['every'])
        if state == 'listed':
            return {'changed': False, 'bundles': [fetching.shown(item) for item in chosen]}
        return self._restored(args, repository, chosen, check_mode)

    def _repository(self, args: dict[str, Any]) -> base.Repository | None:
        if not args['repository']:
            return None
        try:
            patience = quantities.seconds(args['lock_timeout'])
        except ValueError as exc:
            raise LifeboatError('The option lock_timeout: %s.' % exc) from exc
        if args['password'] and args['password_file']:
            raise LifeboatError('password and password_file are both set. Use one of them.')
        return base.open_repository(args['kind'], base.Settings(
            args['repository'], args['program'] or None, args['password'] or None, args['password_file'] or None, args['environment'], patience,
            args['chunker_params'] or None))

    def _stored(self, args: dict[str, Any], repository: base.Repository | None, check_mode: bool) -> dict[str, Any]:
        after = hook.Hook(args['after_bundle'], args['environment']) if args['after_bundle'] else None
        if repository is None and after is None:
            raise LifeboatError('state: stored needs a repository or after_bundle.')
        if not args['path']:
            raise LifeboatError('state: stored needs path, a bundle or a folder of bundles.')
        keep = base.policy(args['keep'])
        found = sending.find(args['path'])
        made = repository is not None and args['init'] and not repository.exists()
        if repository is not None and made and not check_mode:
            repository.create()
        sender = sending.Sender(repository, after, check_mode, display.vv, is_new=made)
        why = sender.send(found)
        counts = sending.summary(sender.bundles)
        result: dict[str, Any] = {'changed': made or counts['sent'] > 0, 'bundles': sender.bundles, 'summary': counts, 'hints': sender.hints(),
                                  'removed': 0}
        for hint in result['hints']:
            display.vv(hint)
        refused = [item for item in sender.bundles if item['state'] == 'refused']
        if why is None and keep and repository is not None:
            result['removed'] = repository.prune(keep, check_mode)
            result['changed'] = result['changed'] or result['removed'] > 0
        if why is not None:
            result.update(failed=True, msg='%s %d of %s were looked at, %d were sent.' % (
                why, len(sender.bundles), wording.number(len(found), 'bundle'), counts['sent']))
        elif refused:
            result.update(failed=True, msg='%d of %s were not sent: %s%s' % (
                len(refused), wording.number(len(found), 'bundle'), '; '.join('%s: %s' % (item['path'], item['reason']) for item in refused[:3]),
                '' if len(refused) <= 3 else ' and %d more.' % (len(refused) - 3)))
        return result

    def _restored(self, args: dict[str, Any], repository: base.Repository, chosen: list[base.Stored], check_mode: bool) -> dict[str, Any]:
        if not args['dest']:
            raise LifeboatError('state: restored needs dest, the folder that receives the bundles.')
        if not chosen:
            raise LifeboatError('The repository %s has no bundle with these tags. state: listed shows what it has.' % repository.shown)
        dest = os.fsencode(os.path.abspath(args['dest']))
        bundles, failures = [], []
        for item in chosen:
            entry = fetching.shown(item)
            try:
                entry.update(fetching.fetch(repository, item, dest, check_mode))
            except base.RepositoryError:
                raise
            except LifeboatError as exc:
                entry.update(changed=False, reason=str(exc))
                failures.append('%s %s: %s' % (entry['host'], entry['name'], exc))
            bundles.append(entry)
        result: dict[str, Any] = {'changed': any(item['changed'] for item in bundles), 'bundles': bundles}
        if failures:
            result.update(failed=True, msg='%d of %s did not come back: %s' % (len(failures), wording.number(len(chosen), 'bundle'), '; '.join(failures[:3])))
        return result
