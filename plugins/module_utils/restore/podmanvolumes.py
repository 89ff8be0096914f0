"""What is different with the volumes of Podman: what it does with a new one at its first use, owners that its API does not tell, and content that
it cannot copy without losing them."""
import functools
import os
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Sequence

from ..disk.errors import LifeboatError
from ..formats.wording import raw, show
from . import podmancli

if TYPE_CHECKING:
    from .engineapi import Engine
    from .volumes import Volumes

NO_REPLACE = ('The content of the volume %s cannot be replaced over the API of Podman, which loses the owners of files: run as the user of that '
              'Podman on its own host, with the command podman, or give the volume another name in volume_map.')


def settle(access: 'Volumes', volume: Mapping[str, Any], place: str) -> List[str]:
    """Have Podman do now what it does when a new volume is first used: its folder gets the owner and mode of what the container has at that
    place. Done afterwards, it would change what was restored. Podman 4 does it before a start, and never again; Podman 5 does it at every start as long as
    the volume is empty, and once after files were copied into it, even if these are none. PLACE: where a helper container has it. Returns notes where
    it did not work."""
    name = volume['Name']
    if volume.get('Driver') != 'local' or not _waits(access, name):
        return []
    for step in (access.engine.prepare, functools.partial(_copy_nothing, access.engine, place)):
        helper = access._helper(name)
        try:
            step(helper)
        finally:
            access._drop(helper)
        if not _waits(access, name):
            return []
    return ['The folder of the volume %s itself gets another owner and mode when a container first uses it: Podman gives it those of the place where it '
            'is mounted. Set them again afterwards (podman unshare chown, chmod).' % name]


def _copy_nothing(engine: 'Engine', place: str, helper: str) -> None:
    try:
        engine.put_archive(helper, place, iter((bytes(10240),)))     # the end of an archive is all of it
    except LifeboatError:
        pass                            # then it still waits, which is said


def _waits(access: 'Volumes', name: str) -> bool:
    return access.engine.volume_state(name).get('NeedsChown') is True


def check_owners(access: 'Volumes', volume: Mapping[str, Any], sample: Sequence[podmancli.Owner]) -> List[str]:
    """Look at the owners of a few files that went in over the API -> notes. LifeboatError if they are not those of the archive."""
    if not sample:
        return []
    folder = raw(volume.get('Mountpoint') or '')
    found = podmancli.seen_owners(access.engine, folder, sample) if folder.startswith(b'/') else None
    command = podmancli.command(access.engine, volume) if found is None else None
    if command is not None:
        found = command.owners([os.path.join(folder, item.name) for item in sample])
    if found is None:
        return ['Whether the files in the volume %s have their owners cannot be seen from here: Podman does not tell it over its API.' % volume['Name']]
    wrong = podmancli.wrong_owner(sample, found)
    if wrong:
        raise LifeboatError('The volume %s: %s' % (volume['Name'], wrong))
    return []


class KeptMoved(object):
    """The content of a volume of a user's Podman, renamed into a volume of its own; the volume itself is made anew."""

    def __init__(self, access: 'Volumes', volume: Mapping[str, Any], name: str, digest: str, label: str) -> None:
        self.access = access
        self.volume = volume
        self.name = name
        engine = access.engine
        aside = engine.create_volume(name, labels=volume.get('Labels'))
        command = podmancli.command(engine, aside)
        if command is None:
            engine.remove('/volumes/%s' % name)
            raise LifeboatError(NO_REPLACE % volume['Name'])
        self.command = command
        try:
            self.command.move(_folder(volume), _folder(aside))
        except BaseException:
            # with content in it, it stays: an empty folder is all that rmdir takes
            if not access.content(aside):
                engine.remove('/volumes/%s' % name)
            raise
        engine.remove('/volumes/%s' % volume['Name'])
        self._create(dict(volume.get('Labels') or {}, **{label: digest}))

    def _create(self, labels: Dict[str, str]) -> Mapping[str, Any]:
        return self.access.engine.create_volume(self.volume['Name'], labels=labels)

    def restore(self) -> None:
        """Put it back, whatever is in its place now."""
        engine = self.access.engine
        aside = engine.volume(self.name)
        if aside is None:
            raise LifeboatError('The volume %s, with what was in %s, is gone.' % (self.name, self.volume['Name']))
        self.access.remove(self.volume['Name'])
        self.command.move(_folder(aside), _folder(self._create(self.volume.get('Labels') or {})))
        engine.remove('/volumes/%s' % self.name)

    def keep(self) -> str:
        return self.name

    def drop(self) -> None:
        self.access.engine.remove('/volumes/%s' % self.name)


def _folder(volume: Mapping[str, Any]) -> bytes:
    """The folder of a volume as the engine names it; LifeboatError for what is no absolute path."""
    place = raw(volume.get('Mountpoint') or '')
    if not place.startswith(b'/'):
        raise LifeboatError('The engine says that the volume %s lies at %s, which is no path.' % (volume['Name'], show(place)))
    return place
