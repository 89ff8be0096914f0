# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""lifeboat inspect: the definition of a container as the Engine API takes it, or what is recorded of a volume or an image."""
import json

from ...disk.errors import LifeboatError
from ...engines.docker.volumes import redacted
from ...formats import wording
from .. import objects
from ..main import PARTIAL, WHOLE
from ..output import shown

DESCRIPTION = '''
For a container: the body of POST /containers/create, with what the engine filled in by itself taken out again. It is what
config/create.json of its bundle holds. Values of environment variables are in it.'''

EXAMPLES = '''
lifeboat inspect web
lifeboat inspect volume:shop-data
lifeboat inspect image:nginx:1.25
lifeboat inspect web > create.json'''

DAMAGED = ('CONFIG_DAMAGED', 'CONFIG_MISMATCH', 'HOSTCONFIG_DAMAGED')


def arguments(parser):
    parser.add_argument('object', metavar='OBJECT', help='a container, volume:NAME or image:REF')


def run(given, out):
    with objects.open_host(given) as host:
        item = objects.find(host, objects.parse(given.object))
        notes = [problem for problem in item.record.problems if problem.code in DAMAGED]
        if item.kind == objects.VOLUME:
            value = _volume(item.record)
        elif item.kind == objects.IMAGE:
            value = _image(item.record)
        elif item.kind == objects.CONTAINER:
            value = body(item)
        else:
            raise LifeboatError('inspect takes a container, a volume or an image, not %s' % shown(given.object))
    out.write(json.dumps(value, indent=2, sort_keys=True).encode('ascii') + b'\n')
    for note in notes:
        out.error('lifeboat: %s %s' % (note.message, note.next_step))
    return PARTIAL if notes else WHOLE


def body(item):
    """The create call's body of a container (objects.Object). LifeboatError where the records allow none."""
    from ...recreate import body as bodies, definition as definitions
    from ...rescue import neighbours
    root, container = item.root, item.record
    image = root.image_of(container)
    around = neighbours.neighbours(root, container, neighbours.networks(root))
    volumes = root.volumes()
    info = {name: {'driver': volume.driver, 'options': volume.options, 'labels': volume.labels}
            for name, volume in volumes.items() if any(mount.name == name for mount in container.mounts)}
    try:
        return bodies.create_body(definitions.define(
            container.config, container.hostconfig, (image.config.get('config') or {}) if image is not None else None,
            container.image_reference or container.image_id or 'unknown-image', container.mounts, container.name, container.id,
            around.volumes, info, around.networks, around.peers))
    except (ValueError, KeyError, AttributeError) as exc:
        raise LifeboatError('The records of %s are damaged (%s): no definition can be made of them' % (shown(item.name), exc))


def _volume(volume):
    return {'Name': volume.name, 'Driver': volume.driver, 'Labels': volume.labels, 'Options': redacted(volume.options),
            'Path': wording.text(volume.path), 'UsedBy': list(volume.used_by), 'Status': volume.status}


def _image(image):
    return {'Id': image.id, 'References': list(image.references), 'Created': image.created, 'Architecture': image.architecture,
            'Os': image.os, 'Status': image.status, 'Config': image.config.get('config') or {},
            'Layers': [{'DiffId': layer.diff_id, 'Path': wording.text(layer.path), 'Bytes': layer.bytes, 'Status': layer.status}
                       for layer in image.layers]}
