"""lifeboat inspect: the definition of a container as the Engine API takes it, or what is recorded of a volume or an image."""
import json
from typing import TYPE_CHECKING, Any, Dict

from ...bundles import objects
from ...disk.errors import LifeboatError
from ...formats import redact, wording
from .. import words
from ..host import open_host
from ..main import PARTIAL, WHOLE
from ..output import Output, shown

if TYPE_CHECKING:
    import argparse

    from ...records.model import Image, Volume
    from ..parser import Parser

DESCRIPTION = '''
For a container: the body of POST /containers/create, with what the engine filled in by itself taken out again. It is what
config/create.json of its bundle holds. As docker inspect does, it prints everything as it is: passwords in environment variables, labels and options of volumes
too, since a container is recreated from them. --redact replaces them, for what is shown to others.'''

EXAMPLES = '''
lifeboat inspect web
lifeboat inspect volume:shop-data
lifeboat inspect image:nginx:1.25
lifeboat inspect web > create.json
lifeboat inspect web --redact              for a ticket'''


def arguments(parser: 'Parser') -> None:
    parser.add_argument('object', metavar='OBJECT', help='a container, volume:NAME or image:REF')
    parser.add_argument('--redact', action='store_true', help='without secrets: values of the environment, and what looks like one elsewhere')


def run(given: 'argparse.Namespace', out: Output) -> int:
    from ...recreate import redacted
    with open_host(given) as host:
        item = objects.find(host, objects.parse(given.object))
        notes, said = [], []
        if item.kind == objects.VOLUME:
            value = _volume(item.record, given.redact)
        elif item.kind == objects.IMAGE:
            value = _image(item.record, given.redact)
        elif item.kind == objects.CONTAINER:
            value = redacted.create_body(body(item)) if given.redact else body(item)
            notes = [problem for problem in item.record.problems if problem.loses_data] if item.record.definition.damaged else []
            said = item.root.problems       # met on the way, such as damaged databases of networks and volumes
        else:
            raise LifeboatError('inspect takes a container, a volume or an image, not %s' % shown(given.object))
    out.write(json.dumps(value, indent=2, sort_keys=True).encode('ascii') + b'\n')
    for note in notes + said:
        out.error('lifeboat: ' + words.tool('%s %s' % (note.message, note.next_step)))
    return PARTIAL if notes else WHOLE


def body(item: objects.Object) -> Dict[str, Any]:
    """The create call's body of a container (objects.Object)."""
    from ...records import definition as definitions
    from ...recreate import body as bodies
    root, container = item.root, item.record
    image = root.image_of(container)
    around = root.neighbours(container)
    volumes = root.volumes()
    info = {name: definitions.VolumeSettings('', volume.driver, volume.options, volume.labels)
            for name, volume in volumes.items() if any(mount.name == name for mount in container.mounts)}
    return bodies.create_body(definitions.resolved(
        container.definition, container.image_reference or container.image_id or 'unknown-image',
        definitions.image_defaults(image.config.get('config')) if image is not None else None, volume_names=around.volumes,
        volume_settings=info, network_settings=around.networks, peers=around.peers))


def _volume(volume: 'Volume', quiet: bool) -> Dict[str, Any]:
    return {'Name': volume.name, 'Driver': volume.driver, 'Labels': redact.values(volume.labels) if quiet else volume.labels,
            'Options': redact.options(volume.options) if quiet else volume.options,
            'Path': wording.text(volume.path), 'UsedBy': list(volume.used_by), 'Status': volume.status}


def _image(image: 'Image', quiet: bool) -> Dict[str, Any]:
    from ...recreate import redacted
    config = image.config.get('config') or {}
    return {'Id': image.id, 'References': list(image.references), 'Created': image.created, 'Architecture': image.architecture,
            'Os': image.os, 'Status': image.status, 'Config': redacted.config(config) if quiet else config,
            'Layers': [{'DiffId': layer.diff_id, 'Path': wording.text(layer.path), 'Bytes': layer.bytes, 'Status': layer.status}
                       for layer in image.layers]}
