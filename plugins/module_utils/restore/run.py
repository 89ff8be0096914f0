"""Entry point of a restore: options in, result out."""
from typing import TYPE_CHECKING, Any, Dict

from ..disk.errors import LifeboatError
from ..transport import inbox
from . import connect, engine, folders, plan as planning, several

if TYPE_CHECKING:
    from .plan import Options


def restore_remote(options: 'Options') -> Dict[str, Any]:
    """The same for a bundle on the controller; the path is the folder that it comes through."""
    incoming = inbox.Inbox(options.path)
    try:
        return restore(options._replace(inbox=incoming))
    finally:
        incoming.close()


def restore_all(options: 'Options') -> Dict[str, Any]:
    """The same for a bundle or a folder of them: the result of the one bundle, or several.combined() of all."""
    found = several.items(options.path)
    several.check(options.path, found, options.name, options.volume_map)
    if len(found) == 1:
        return restore(options._replace(path=found[0].path))
    options = options._replace(seen={})
    if options.target == 'engine' and not options.offline:
        engine_ = connect.connected(options)
        several.refuse_asks(found, options.restore, options.allow, lambda name: engine_.volume(name) is not None)
    outcomes = list(several.each(found, lambda item: restore(options._replace(
        **several.own(item, len(found), options.volume_map, options.dest)))))
    return several.combined(options.path, outcomes, options.restore)


def restore(options: 'Options') -> Dict[str, Any]:
    """OPTIONS: plan.Options -> result of docker_data_restore (dict). Raises LifeboatError, OSError."""
    if options.offline or options.target == 'directory':
        if options.trial:
            raise LifeboatError('trial needs a running engine (target: engine, and not offline)')
        if planning.DUMPS in options.restore:
            raise LifeboatError('A dump is loaded by its database server, so restore: [dumps] needs a running engine (target: engine, and not offline)')
        if planning.SECRETS in options.restore:
            raise LifeboatError('Secrets are made by a running Podman, so restore: [secrets] needs one (target: engine, and not offline)')
        return folders.restore(options)
    return engine.restore(options)
