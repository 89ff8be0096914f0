"""Step 0, before any start of an engine: what the start itself would delete or start is held."""
from typing import Any, Dict, Set, Tuple

from ..formats import wording
from . import known, records, steps
from .plan import Plan

CODES = {
    'GUARD_AUTOREMOVE': steps.Code('The container was started with --rm: the next start of dockerd deletes it.', 'Sets AutoRemove to false.'),
    'GUARD_RESTART': steps.Code('The container starts by its restart policy with the engine: a database recovers on what is there.',
                                'Sets the policy to no. The original is in the journal; policies: give_back gives it back.'),
    'POLICY_BACK': steps.Code('The guard had set the restart policy of a container to no.',
                              'Gives the original back; with policies: give_back, when the engine has proved to work.'),
    'GUARD_DEAD': steps.Code('The container is marked as dead or as being removed, but its layer is there.',
                             'Clears the marks: the container can be started again.'),
}


def give_back(this: Plan, policies: Dict[bytes, Dict[str, Any]]) -> None:
    """Plan the restart policies of before the guard, POLICIES {container id: RestartPolicy}, where it is still `no`."""
    for ident, policy in sorted(policies.items()):
        value = this.view.json(known.hostconfig_path(ident))
        if value is not None and records.dict_of(value, 'RestartPolicy').get('Name') == 'no':
            this.write('POLICY_BACK', known.hostconfig_path(ident), records.dump(dict(value, RestartPolicy=policy)),
                       'the policy was %s before the guard' % str(policy.get('Name'))[:40], steps.CERTAIN)


def plan(this: Plan, root: Any) -> None:
    """Plan for every container of ROOT (inventory.DataRoot) whose records can be read."""
    layers = known.writable(this.view)
    for ident in known.containers(this.view):
        _hostconfig(this, ident)
        _state(this, ident, layers, root)


def _hostconfig(this: Plan, ident: bytes) -> None:
    path = known.hostconfig_path(ident)
    value = this.view.json(path)
    if value is None:
        return
    if value.get('AutoRemove') is True:
        changed = dict(value, AutoRemove=False)
        if this.write('GUARD_AUTOREMOVE', path, records.dump(changed), '%sAutoRemove is true' % _name(this, ident), steps.CERTAIN):
            value = changed
    policy = value.get('RestartPolicy')
    if isinstance(policy, dict) and policy.get('Name') not in (None, '', 'no'):
        this.write('GUARD_RESTART', path, records.dump(dict(value, RestartPolicy={'Name': 'no', 'MaximumRetryCount': 0})),
                   '%sthe policy is %s' % (_name(this, ident), str(policy['Name'])[:40]), steps.CERTAIN)


def _name(this: Plan, ident: bytes) -> str:
    """The name of a container for the reason of a step: people know it by nothing else."""
    name = str((known.config(this.view, ident) or {}).get('Name') or '').lstrip('/')
    return '%s: ' % wording.text(name)[:80] if name else ''


def _state(this: Plan, ident: bytes, layers: Set[Tuple[str, bytes]], root: Any) -> None:
    value = known.config(this.view, ident)
    state = value.get('State') if value is not None else None
    if value is None or not isinstance(state, dict) or not (state.get('Dead') or state.get('RemovalInProgress')):
        return
    if (records.text_of(value, 'Driver'), ident) in layers or _has_snapshot(root, ident):
        changed = dict(value, State=dict(state, Dead=False, RemovalInProgress=False))
        this.write('GUARD_DEAD', known.config_path(ident), records.dump(changed), 'its writable layer is there', steps.CERTAIN)
    else:
        this.leave('GUARD_DEAD', known.config_path(ident), 'the container is marked as dead, and its layer is not found',
                   'docker rm would delete the rest of it; rescue it before.')


def _has_snapshot(root: Any, ident: bytes) -> bool:
    """Whether containerd's store has the writable layer of a container."""
    if ident.decode('ascii') not in root.container_ids():
        return False
    container = root.container(ident.decode('ascii'))
    return container.store == 'containerd' and container.stack is not None and container.stack.writable is not None and \
        container.stack.writable.path is not None
