"""repositories.json: names of images. dockerd does not start with a damaged one; what containers tell of tags is only likely."""
import re
from typing import Dict, List, NamedTuple, Optional, Tuple

from . import known, records, steps
from .plan import Plan

CODES = {
    'REPOSITORIES': steps.Code('repositories.json is empty, damaged or gone: dockerd does not start, or no image has a name.',
                               'Makes it anew with the digests that containers were made from. Tags of containers are likely only, since a tag '
                               'may have been moved: they are written where the code is named. All other names are lost.'),
}
MAX_SHOWN = 20                          # names in one reason
_REFERENCE = re.compile(r'[a-z0-9][a-z0-9._/:@-]{0,250}(:[A-Za-z0-9_.-]{1,128})?\Z')
_ID = re.compile(r'(sha256:)?[0-9a-f]{12,64}\Z')


class Told(NamedTuple):
    """Names that records of containers tell: {reference: image ID}."""
    digests: Dict[str, str]             # a digest names one image for ever
    tags: Dict[str, str]                # that the image had when a container was made from it
    moved: List[str]                    # tags from which containers of different images were made


def plan(this: Plan, name: bytes, images: known.Images) -> None:
    """Plan for the driver NAME: a file with which dockerd starts, and then what is only likely."""
    path = b'image/' + name + b'/repositories.json'
    there = _there(this, path)
    if there is not None and any('@' not in reference for reference in there) or not images.configs:
        return
    told = _told(this, images)
    digests = told.digests if there is None else there
    if there is None:
        this.write('REPOSITORIES', path, _file(digests), 'digests that containers were made from; other names are lost', steps.REBUILT)
    for reference in told.moved:
        this.leave('REPOSITORIES', path, 'containers of different images name %s' % reference[:100], 'docker tag the right one.')
    if told.tags:
        shown = ['%s is %s' % (reference[:100], image[:19]) for reference, image in sorted(told.tags.items())]
        more = '' if len(shown) <= MAX_SHOWN else ' and %d more' % (len(shown) - MAX_SHOWN)
        this.write('REPOSITORIES', path, _file(dict(digests, **told.tags)),
                   'tags that containers were made from, and that may have been moved since: %s%s' % (', '.join(shown[:MAX_SHOWN]), more), steps.LIKELY)


def _there(this: Plan, path: bytes) -> Optional[Dict[str, str]]:
    """{reference: image ID} of a file that can be read, else None. What dockerd itself would pass over is not in it."""
    value = (this.view.json(path) or {}).get('Repositories')
    if not isinstance(value, dict):
        return None
    return {reference: image for found in value.values() if isinstance(found, dict) for reference, image in found.items()
            if _REFERENCE.match(reference) and isinstance(image, str) and known.DIGEST.match(image)}


def _told(this: Plan, images: known.Images) -> Told:
    told, moved = Told({}, {}, []), set()
    for ident in known.containers(this.view):
        config = known.config(this.view, ident) or {}
        reference, image = records.dict_of(config, 'Config').get('Image'), config.get('Image')
        if isinstance(image, str) and image in images.configs and isinstance(reference, str) and _REFERENCE.match(reference) and \
                not _ID.match(reference):
            full = split(reference)[1]
            if (told.digests if '@' in full else told.tags).setdefault(full, image) != image:
                moved.add(full)
    for full in moved:                  # which image has it now is not known
        (told.digests if '@' in full else told.tags).pop(full)
    return told._replace(moved=sorted(moved))


def _file(names: Dict[str, str]) -> bytes:
    found: Dict[str, Dict[str, str]] = {}
    for reference, image in names.items():
        found.setdefault(split(reference)[0], {})[reference] = image
    return records.dump({'Repositories': found}).rstrip(b'\n')


def split(reference: str) -> Tuple[str, str]:
    """(repository, reference) as repositories.json has them: without the default registry; with a digest, without the tag."""
    for prefix in ('docker.io/library/', 'index.docker.io/library/', 'library/', 'docker.io/', 'index.docker.io/'):
        if reference.startswith(prefix) and ('/' not in reference[len(prefix):] or not prefix.endswith('library/')):
            reference = reference[len(prefix):]
            break
    name, at, digest = reference.partition('@')
    folder, slash, last = name.rpartition('/')
    repository, colon, tag = last.partition(':')
    repository = folder + slash + repository
    return repository, repository + (at + digest if at else ':' + (tag if colon else 'latest'))
