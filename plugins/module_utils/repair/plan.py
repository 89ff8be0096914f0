"""The plan: which steps, in which order, and what stays unresolved. Only this file puts steps together."""
from typing import Any, Dict, Iterable, Iterator, List, Optional

from . import steps
from .view import FOLDER, View


class Plan(object):
    """Collects steps over a View. `chosen(code, certainty)` says whether a step is to be done; one that is not is shown only.

    `names` ({id or its beginning: name}) is what only a person knows.
    """

    def __init__(self, view: View, chosen: Any, names: Optional[Dict[str, str]] = None, journal_device: Optional[int] = None) -> None:
        self.view = view
        self.chosen = chosen
        self.journal_device = journal_device    # st_dev of the journal's folder: a folder is moved aside only inside of it
        self.names = names or {}
        self.steps: List[steps.Step] = []
        self.unresolved: List[steps.Unresolved] = []
        self.asked: Dict[str, bool] = {}    # what one look has found out and the next need not: see whole.py

    def write(self, code: str, path: bytes, data: bytes, why: str, certainty: str, mode: int = 0o600,
              attributes: Optional[Dict[str, Any]] = None) -> bool:
        """Plan a new content. Returns whether it will be there; nothing is planned where it is there already."""
        if self.view.read(path, len(data)) == data:
            return True
        if self.view.kind(path) == FOLDER:
            return self.leave(code, path, 'a folder lies where a file should be', 'Look at it, and move it away.')
        return self._add(steps.Step(code, path, steps.WRITE, data, why, certainty, mode, attributes=attributes))

    def mkdir(self, code: str, path: bytes, why: str, certainty: str, mode: int = 0o700) -> bool:
        """Plan a folder."""
        if self.view.is_folder(path):
            return True
        if self.view.kind(path) is not None:
            return self.leave(code, path, 'something that is no folder lies there', 'Look at it, and move it away.')
        return self._add(steps.Step(code, path, steps.MKDIR, None, why, certainty, mode))

    def symlink(self, code: str, path: bytes, target: bytes, why: str, certainty: str) -> bool:
        """Plan a link; what is there is replaced, unless it is a folder."""
        if self.view.target(path) == target:
            return True
        if self.view.kind(path) == FOLDER:
            return self.leave(code, path, 'a folder lies where a link should be', 'Look at it, and move it away.')
        return self._add(steps.Step(code, path, steps.SYMLINK, target, why, certainty, 0o777))

    def rename(self, code: str, path: bytes, to: bytes, why: str, certainty: str) -> bool:
        """Plan a new name for a folder; nothing may be under the new one."""
        if self.view.kind(to) is not None:
            return self.leave(code, to, 'something has this name already', 'Look at both.')
        return self._add(steps.Step(code, path, steps.RENAME, to, why, certainty, 0))

    def aside(self, code: str, path: bytes, why: str, certainty: str) -> bool:
        """Plan to move a file or folder into the journal's folder."""
        if self.view.kind(path) is None:
            return True
        if not self.can_be_moved(path):
            return self.leave(code, path, '%s; it can be moved aside only on its own file system' % why, self._other_place(
                'move it away by hand (mv) to any place where the engine does not look'))
        return self._add(steps.Step(code, path, steps.ASIDE, None, why, certainty, 0))

    def can_be_moved(self, path: bytes) -> bool:
        """Whether PATH may be moved into the journal's folder: a file always, since it is copied there; a folder only on its own file system."""
        return not self.view.is_folder(path) or self._is_beside(path)

    def _is_beside(self, path: bytes) -> bool:
        """Whether a rename between PATH and the journal's folder stays inside of one mount."""
        st = self.view.stat(path)
        return not self.view.top.is_mount_point and (self.journal_device is None or st is not None and st.st_dev == self.journal_device)

    def place(self, code: str, path: bytes, diff_id: str, donors: List[bytes], why: str) -> bool:
        """Plan a folder with the layer DIFF_ID out of one of DONORS. It is made in the journal's folder, on the same file system."""
        if not self._is_beside(path.split(b'/')[0]):
            return self.leave(code, path, 'it can be made only with a journal on its own file system', self._other_place(
                'copy the layer as root (cp -a) from a host that has it'))
        return self._add(steps.Step(code, path, steps.PLACE, diff_id.encode('ascii'), why, steps.CERTAIN, 0o755, attributes={'donors': donors}))

    def _other_place(self, by_hand: str) -> str:
        """The next step where a journal on another file system is in the way."""
        if self.view.top.is_mount_point:
            return 'The data root is mounted by itself, so nothing of it can be moved to a folder outside of it: %s.' % by_hand
        return 'Name a journal_dir on the file system of the data root, outside of the root.'

    def leave(self, code: str, path: bytes, why: str, next_step: str) -> bool:
        """Note what is not repaired. Returns False, so that a caller can return it."""
        entry = steps.Unresolved(code, path, why, next_step)
        if entry not in self.unresolved:
            self.unresolved.append(entry)
        return False

    def again(self) -> int:
        """Before another look at the same root: forget what stayed open; selected steps stay. Returns how many those are."""
        self.steps = [step for step in self.steps if step.selected]
        self.unresolved = []
        return len(self.steps)

    def _add(self, step: steps.Step) -> bool:
        if not self.chosen(step.code, step.certainty):
            shown = step._replace(selected=False)
            if shown not in self.steps:
                self.steps.append(shown)
            return False
        for parent in self._missing_parents(step.path):
            if self.view.kind(parent) is not None:
                return self.leave(step.code, parent, 'something that is no folder lies there', 'Look at it, and move it away.')
            made = steps.Step(step.code, parent, steps.MKDIR, None, 'holds %s' % step.path.rpartition(b'/')[2].decode(
                'utf-8', 'backslashreplace'), step.certainty, 0o755)
            self.steps.append(made)
            self.view.apply(made)
        self.steps.append(step)
        self.view.apply(step)
        return True

    def _missing_parents(self, path: bytes) -> Iterator[bytes]:
        missing = []
        parent = path.rpartition(b'/')[0]
        while parent and not self.view.is_folder(parent):
            missing.append(parent)
            parent = parent.rpartition(b'/')[0]
        return reversed(missing)


def choose(wanted: Iterable[str], codes: Any) -> Any:
    """chosen(code, certainty) of the option `steps`: codes that run whatever their certainty is, and `!CODE` for those that do not run.

    `all` stands for every code; `!all` for all that are not named. CODES: all that there are; ValueError for another one.
    """
    named = {one for one in wanted if not one.startswith('!')}
    without = {one[1:] for one in wanted if one.startswith('!')}
    for one in sorted((named | without) - set(codes) - {'all'}):
        raise ValueError('steps: there is no code %s; there are %s' % (one, ', '.join(sorted(codes))))

    def chosen(code: str, certainty: str) -> bool:
        if code in without or 'all' in without and code not in named:
            return False
        return code in named or 'all' in named or certainty in steps.AUTOMATIC
    return chosen
