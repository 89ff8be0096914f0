"""Doing what a plan says, and undoing it when a later step fails.

A step is a record with two callables. What do() made can be taken back by what it put on the pile of undos; a run that
is ended by SIGTERM takes everything back too. After a kill that nobody can catch, the next run finds what is
half done by its marks (see volumes) and does it again.
"""
import signal
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional

from ..disk.errors import LifeboatError
from ..formats.wording import sentence

Undo = List[Callable[[], Any]]           # what takes back the steps that were done, in their order


class Step(NamedTuple):
    """One thing to do. ACTION 'keep': it is as it should be, nothing to do; then `do` is None."""
    kind: str                           # image | network | volume | secret | container | start | folder
    name: str
    action: str                         # load | create | fill | replace | start | keep
    message: str
    do: Optional[Callable[[Undo], Any]] = None

    @property
    def changes(self) -> bool:
        return self.do is not None


class Interrupted(Exception):
    """SIGTERM: raised where the run is, so that it can clean up."""


class Stopped(LifeboatError):
    """The run was ended from outside: nothing else may be begun."""


def shown(step: Step) -> Dict[str, str]:
    """JSON-ready."""
    return {'kind': step.kind, 'name': step.name, 'action': step.action, 'message': sentence(step.message)}


def run(steps: Iterable[Step], keep_partial: bool = False, trial: bool = False) -> str:
    """Do STEPS in order; with TRIAL take back what they made -> a sentence on that, else ''. Raises LifeboatError that names the step and says
    what was undone."""
    undo: Undo = []
    what = 'the run'
    before = _on_sigterm(_raise_interrupted)
    try:
        for step in steps:
            what = '%s %s' % (step.kind, step.name)
            if step.do is not None:
                step.do(undo)
        if trial:
            what = 'taking back'
            _on_sigterm(signal.SIG_IGN)
            return _undone(undo).strip()
        return ''
    except BaseException as exc:
        _on_sigterm(signal.SIG_IGN)
        said = _words(exc)
        if keep_partial:
            said += ' What was done before is kept (keep_partial).'
        else:
            said += _undone(undo)
        if isinstance(exc, (LifeboatError, OSError, Interrupted, KeyboardInterrupt)):
            raise (Stopped if isinstance(exc, (Interrupted, KeyboardInterrupt)) else LifeboatError)('%s: %s' % (what, said))
        raise
    finally:
        _on_sigterm(before)


def _words(exc: BaseException) -> str:
    if isinstance(exc, (Interrupted, KeyboardInterrupt)):
        return 'The run was interrupted.'
    if isinstance(exc, OSError) and not isinstance(exc, LifeboatError):
        return '%s.' % (exc.strerror or exc)
    return str(exc)


def _undone(undo: 'Undo') -> str:
    """Take back everything, the last first; a sentence on the result."""
    if not undo:
        return ''
    failures = []
    while undo:
        try:
            undo.pop()()
        except (LifeboatError, OSError) as exc:
            failures.append(str(exc))
    if failures:
        return ' Not everything could be taken back: %s' % ' '.join(failures)
    return ' Everything that this run had made was taken back.'


def _raise_interrupted(*dummy: object) -> None:
    raise Interrupted()


def _on_sigterm(handler: Any) -> Any:
    """Set a handler, return the one before; None where that is not possible (not in the main thread)."""
    if handler is None:
        return None
    try:
        return signal.signal(signal.SIGTERM, handler)
    except ValueError:
        return None
