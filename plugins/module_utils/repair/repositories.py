# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""repositories.json: names of images, from the containers that were made of them."""
import re
from typing import Dict

from . import known, records, steps
from .plan import Plan

CODES = {
    'REPOSITORIES': steps.Code('repositories.json is empty, damaged or gone: dockerd does not start, or no image has a name.',
                               'Makes it anew with the names that containers were made from. Other tags and digests are lost.'),
}
_REFERENCE = re.compile(r'[a-z0-9][a-z0-9._/:@-]{0,250}(:[A-Za-z0-9_.-]{1,128})?\Z')
_ID = re.compile(r'(sha256:)?[0-9a-f]{12,64}\Z')


def plan(this: Plan, name: bytes, images: known.Images) -> None:
    """Plan for the driver NAME."""
    path = b'image/' + name + b'/repositories.json'
    value = this.view.json(path)
    if value is not None and isinstance(value.get('Repositories'), dict) or not images.configs:
        return
    names: Dict[str, Dict[str, str]] = {}
    doubtful = set()
    for ident in known.containers(this.view):
        config = known.config(this.view, ident) or {}
        reference, image = records.dict_of(config, 'Config').get('Image'), config.get('Image')
        if image in images.configs and isinstance(reference, str) and _REFERENCE.match(reference) and not _ID.match(reference):
            repository, full = split(reference)
            if names.setdefault(repository, {}).setdefault(full, image) != image:
                doubtful.add((repository, full))
    for repository, full in doubtful:   # the name was moved between two images: which has it now is not known
        del names[repository][full]
        this.leave('REPOSITORIES', path, 'containers of different images name %s' % full[:100], 'docker tag the right one.')
    names = {repository: found for repository, found in names.items() if found}
    this.write('REPOSITORIES', path, records.dump({'Repositories': names}).rstrip(b'\n'),
               'names that containers were made from; other names are lost', steps.REBUILT)


def split(reference: str):
    """(repository, reference with its tag or digest) as repositories.json has them."""
    if '@' in reference:
        return reference.split('@')[0].rpartition(':')[0] if ':' in reference.split('@')[0].rsplit('/', 1)[-1] else reference.split('@')[0], reference
    if ':' in reference.rsplit('/', 1)[-1]:
        return reference.rsplit(':', 1)[0], reference
    return reference, reference + ':latest'
