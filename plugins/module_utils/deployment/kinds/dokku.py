"""Dokku: /home/dokku/APP/ has the variables, options and repository of an app, /var/lib/dokku the properties and the services."""
import posixpath
from typing import Iterator

from ...formats.wording import show, text
from .. import finding
from ..model import ENV_FILE, SETTINGS, Kind, NotTaken, Scene, Stack

NAME = 'dokku'
HOME, LIBRARY = b'/home/dokku', b'/var/lib/dokku'
FILES = (b'DOCKER_OPTIONS_BUILD', b'DOCKER_OPTIONS_DEPLOY', b'DOCKER_OPTIONS_RUN', b'DOKKU_SCALE', b'URLS', b'VHOST', b'nginx.conf', b'PORT', b'CHECKS')
SERVICE = (b'ENV', b'PASSWORD', b'ROOTPASSWORD', b'AUTH_PASSWORD', b'IMAGE', b'IMAGE_VERSION', b'LINKS', b'PORT', b'DATABASE_NAME', b'CONFIG_OPTIONS')


def find(scene: Scene) -> Iterator[Stack]:
    for folder in scene.door.glob(HOME + b'/*'):
        env = scene.door.maybe(b'ENV', folder)
        head = scene.door.maybe(b'HEAD', folder)
        if env is None and head is None:
            continue
        app = posixpath.basename(folder)
        files = tuple(finding.wanted(scene, folder, (b'ENV',), ENV_FILE)) + tuple(finding.wanted(scene, folder, FILES, SETTINGS)) + \
            tuple(finding.globbed(scene, LIBRARY + b'/config/*/' + app + b'/*', SETTINGS))
        trees = ()
        try:                            # a bare repository: the app as it was pushed
            trees = (scene.door.find(folder),) if head is not None else ()
        except NotTaken:
            pass
        yield Stack(NAME, text(app), 'an app of Dokku in %s' % show(folder), text(folder), folder, files=files, trees=trees)
    for folder in scene.door.glob(LIBRARY + b'/services/*/*'):
        files = tuple(finding.wanted(scene, folder, SERVICE, SETTINGS))
        if files:
            yield Stack(NAME, text(posixpath.basename(folder)), 'a service of Dokku in %s' % show(folder), text(folder), folder, files=files)


KIND = Kind(NAME, find)
