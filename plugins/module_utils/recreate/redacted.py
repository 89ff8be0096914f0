"""The body of a create call without its secrets: to be shown, not to recreate anything from."""
from typing import Any, Dict, Mapping

from ..formats import redact
from ..formats.values import as_dict, as_list


def config(value: Dict[str, Any]) -> Dict[str, Any]:
    """VALUE, the configuration of a container or of an image as the Engine API has it, with its secrets replaced. The value of
    each environment variable counts as one; labels and arguments by their name or shape."""
    found = dict(value)
    environment = [item for item in as_list(value.get('Env')) if isinstance(item, str)]
    if environment:
        found['Env'] = ['%s=%s' % pair for pair in redact.env(environment).items()]
    if as_dict(value.get('Labels')):
        found['Labels'] = redact.values(_texts(value['Labels']), environment)
    for key in ('Cmd', 'Entrypoint', 'Shell'):
        if as_list(value.get(key)):
            found[key] = redact.argv(map(str, value[key]))
    check = as_dict(value.get('Healthcheck'))
    if as_list(check.get('Test')):
        found['Healthcheck'] = dict(check, Test=redact.argv(map(str, check['Test'])))
    return found


def create_body(body: Dict[str, Any]) -> Dict[str, Any]:
    """BODY (recreate.body.create_body()) with the secrets of its configuration, its logs and its volumes replaced."""
    found = config(body)
    host = dict(as_dict(body.get('HostConfig')))
    log = as_dict(host.get('LogConfig'))
    if as_dict(log.get('Config')):
        host['LogConfig'] = dict(log, Config=redact.values(_texts(log['Config']), as_list(body.get('Env'))))
    if as_list(host.get('Mounts')):
        host['Mounts'] = [_mount(as_dict(item)) for item in host['Mounts']]
    if host:
        found['HostConfig'] = host
    return found


def _mount(mount: Dict[str, Any]) -> Dict[str, Any]:
    options = as_dict(mount.get('VolumeOptions'))
    if not options:
        return mount
    options = dict(options)
    if as_dict(options.get('Labels')):
        options['Labels'] = redact.values(_texts(options['Labels']))
    driver = as_dict(options.get('DriverConfig'))
    if as_dict(driver.get('Options')):
        options['DriverConfig'] = dict(driver, Options=redact.options(_texts(driver['Options'])))
    return dict(mount, VolumeOptions=options)


def _texts(mapping: Mapping[str, str]) -> Dict[str, str]:
    return {str(key): value if isinstance(value, str) else str(value) for key, value in mapping.items()}
