from __future__ import annotations

import os
from typing import Any, Callable

import yaml
from ansible.errors import AnsibleFilterError
from ansible.utils.display import Display
from ansible.utils.unsafe_proxy import wrap_var

from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import source
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.formats.values import as_dict
from ansible_collections.lifeboat.docker.plugins.module_utils.formats.wording import show
from ansible_collections.lifeboat.docker.plugins.module_utils.recreate import dockercontainer
from ansible_collections.lifeboat.docker.plugins.plugin_utils.plaindata import plain

MODULE = 'community.docker.docker_container'
SIGNS = ('{{', '{%', '{#')


class _Unsafe(str):
    """Text that Ansible must not take for a template when it reads the task."""


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, dummy: Any) -> bool:
        return True


_Dumper.add_representer(_Unsafe, lambda dumper, text: dumper.represent_scalar('!unsafe', str(text), style='"'))


def _marked(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _marked(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_marked(item) for item in value]
    return _Unsafe(value) if isinstance(value, str) and any(sign in value for sign in SIGNS) else value


def _task(arguments: dict[str, Any]) -> str:
    """YAML of a list with one task. Values that came from the disk stay what they are."""
    return yaml.dump([{'name': _marked('Container ' + arguments['name']), MODULE: _marked(arguments)}], Dumper=_Dumper, default_flow_style=False,
                     sort_keys=False, allow_unicode=True, width=140)


def to_docker_container(bundle: Any, form: str = 'arguments', name: str | None = None) -> dict[str, Any] | str:
    bundle, form, name = plain(bundle), plain(form), plain(name)
    if not isinstance(bundle, str) or not bundle:
        raise AnsibleFilterError('to_docker_container: give the folder of a bundle')
    if form not in ('arguments', 'task'):
        raise AnsibleFilterError(f'to_docker_container: unknown form "{show(form)}"; it must be arguments or task')
    try:
        found = source.read(os.fsencode(os.path.abspath(os.path.expanduser(bundle))))
        body = as_dict(source.json_object(found.info, b'config/create.json'))
        if found.kind != 'container' or not body:
            raise LifeboatError(f'The bundle {show(bundle)} has no definition of a container. Rescue it with config in include.')
    except LifeboatError as exc:
        raise AnsibleFilterError(f'to_docker_container: {exc}') from exc
    arguments, unsaid = dockercontainer.arguments(body, name or found.name)
    if unsaid:
        Display().warning('to_docker_container: %s has no option for what %s was created with: %s. config/create.json of the bundle has it.' % (
            MODULE, show(found.name), show(', '.join(unsaid))))
    return _task(arguments) if form == 'task' else wrap_var(arguments)


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {'to_docker_container': to_docker_container}
