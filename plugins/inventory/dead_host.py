# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: dead_host
short_description: Containers of a dead Docker host, or of a folder of bundles, as hosts
version_added: 2.0.0
author:
  - Lifeboat maintainers (@lifeboat-docker)
description:
  - Makes a host of each container that a dead Docker host or a folder of bundles holds, and groups of them by status, engine, compose
    project and image. No daemon is asked. What is read must be visible on the controller.
  - Names and labels come from a disk that is not trusted. Names of hosts and groups keep letters, digits and C(_) only (names of hosts also
    C(.) and C(-)); variables are never templated.
  - Each host is a container of a dead host, so Ansible cannot connect to it. Run its tasks on another machine with C(delegate_to).
options:
  plugin:
    description: V(lifeboat.docker.dead_host) says that the file is meant for this plugin.
    type: str
    required: true
    choices: [lifeboat.docker.dead_host]
  host_root:
    description: Folder under which the root file system of the dead host is visible. Not with O(bundles).
    type: path
  bundles:
    description: Folder of bundles that a rescue has written. Not with O(host_root).
    type: path
  verify:
    description: Compares the files of each bundle with its checksums, which reads all of it.
    type: bool
    default: false
extends_documentation_fragment:
  - lifeboat.docker.dead_disk
  - ansible.builtin.constructed
  - ansible.builtin.inventory_cache
notes:
  - The groups are C(lifeboat_status_STATUS), C(lifeboat_engine_ENGINE), C(lifeboat_project_PROJECT), C(lifeboat_image_IMAGE).
  - "The variables of a host are C(lifeboat_id), C(lifeboat_name), C(lifeboat_status), C(lifeboat_engine), C(lifeboat_project),
    C(lifeboat_service), C(lifeboat_image), C(lifeboat_labels), C(lifeboat_state), C(lifeboat_volumes), and C(lifeboat_bundle), the folder of
    its bundle."
"""

EXAMPLES = r"""
# dead_host.yml: the containers on a disk that is mounted here
plugin: lifeboat.docker.dead_host
host_root: /mnt/dead
keyed_groups:
  - key: lifeboat_state
    prefix: state

# rescued.yml (a file of its own): what a rescue has brought
# plugin: lifeboat.docker.dead_host
# bundles: /srv/rescued
# cache: true
# cache_plugin: ansible.builtin.jsonfile
# cache_connection: /var/tmp/lifeboat-inventory

# The restore of one group, here a compose project, onto the machine newhost:
#
#   ansible-playbook -i rescued.yml -i hosts restore-shop.yml
#
# - hosts: lifeboat_project_shop
#   gather_facts: false
#   tasks:
#     - name: Restore the containers of the project
#       lifeboat.docker.docker_data_restore:
#         path: "{{ lifeboat_bundle }}"
#         remote_src: false
#         state: started
#       delegate_to: newhost
#       become: true
"""

import os
import re
from typing import Any, Iterator

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable
from ansible.utils.unsafe_proxy import wrap_var

from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import reading
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.formats.values import as_dict, as_list, as_str
from ansible_collections.lifeboat.docker.plugins.module_utils.formats.wording import show, text
from ansible_collections.lifeboat.docker.plugins.plugin_utils.plaindata import plain

PROJECT = 'com.docker.compose.project'
SERVICE = 'com.docker.compose.service'
NO_HOST = re.compile(r'[^A-Za-z0-9_.-]+', re.ASCII)
NO_GROUP = re.compile(r'[^A-Za-z0-9_]+', re.ASCII)
LONGEST = 120


def of_root(params: dict[str, Any]) -> list[dict[str, Any]]:
    """[variables of a container (plain JSON types)] of a dead host. LifeboatError."""
    from ansible_collections.lifeboat.docker.plugins.module_utils.facts import gather
    with registry.host_of(params) as host:
        facts = gather.gather(host, gather.Options(gather_subset=['containers']))
    if not facts['containers']:
        worst = [item for item in facts['problems'] if item['severity'] == 'critical'] or [
            {'message': 'It holds no container.', 'next_step': 'Name the right folder with data_roots.'}]
        raise LifeboatError('%s %s' % (worst[0]['message'], worst[0]['next_step']))
    engines = {root['path']: root.get('engine') or 'docker' for root in facts['roots']}
    return [_variables(item, item['image'], item['status'], item.get('engine') or engines.get(item['root'], 'docker'), as_dict(item['state']),
                       [mount['name'] for mount in item['mounts'] if mount['type'] == 'volume']) for item in facts['containers']]


def of_bundles(path: str, verify: bool) -> list[dict[str, Any]]:
    """The same of the bundles at or below the folder PATH (text). LifeboatError."""
    found = []
    for place in reading.find_bundles(os.fsencode(path)):
        info = reading.inspect_bundle(place, verify)
        manifest = as_dict(info.manifest)
        container = as_dict(manifest.get('container'))
        if not container:
            continue
        status = as_str(manifest.get('status')) if info.status in (reading.VERIFIED, 'unverified') else info.status
        made = _variables(container, as_dict(container.get('image')), status, as_str(manifest.get('engine')) or 'docker',
                          as_dict(container.get('state')), [as_str(as_dict(item).get('name')) for item in as_list(manifest.get('mounts'))
                                                            if as_dict(item).get('type') == 'volume'])
        made['lifeboat_bundle'] = text(place)
        found.append(made)
    if not found:
        raise LifeboatError('There is no bundle of a container in %s. Give the folder that dest named in the rescue.' % show(path))
    return found


def _variables(item: dict[str, Any], image: dict[str, str], status: str, engine: str, state: dict[str, Any], volumes: list[str]) -> dict[str, Any]:
    labels = {str(key): as_str(value) for key, value in as_dict(item.get('labels')).items()}
    return {'lifeboat_id': as_str(item.get('id')), 'lifeboat_name': as_str(item.get('name')), 'lifeboat_status': status or 'unknown',
            'lifeboat_engine': engine, 'lifeboat_project': labels.get(PROJECT, ''), 'lifeboat_service': labels.get(SERVICE, ''),
            'lifeboat_image': as_str(image.get('reference')) or as_str(image.get('id')), 'lifeboat_labels': labels,
            'lifeboat_state': as_str(state.get('status')), 'lifeboat_volumes': [name for name in volumes if name]}


def host_name(variables: dict[str, Any], taken: set[str]) -> str:
    """A name for the host of a container that no name in TAKEN is."""
    ident = NO_HOST.sub('', variables['lifeboat_id'])[:12]
    name = NO_HOST.sub('-', variables['lifeboat_name']).strip('.-')[:LONGEST] or ident or 'container'
    if name in taken or name in ('all', 'ungrouped', 'localhost'):
        name = '%s-%s' % (name, ident)
    number, first = 1, name
    while name in taken:
        number += 1
        name = '%s-%d' % (first, number)
    return name


def group_names(variables: dict[str, Any]) -> Iterator[str]:
    """Names of the groups of a container: letters, digits and _."""
    for kind in ('status', 'engine', 'project', 'image'):
        value = NO_GROUP.sub('_', variables['lifeboat_' + kind]).strip('_')[:LONGEST]
        if value:
            yield 'lifeboat_%s_%s' % (kind, value)


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    NAME = 'lifeboat.docker.dead_host'

    def verify_file(self, path: str) -> bool:
        return super().verify_file(path) and path.endswith(('dead_host.yml', 'dead_host.yaml', 'rescued.yml', 'rescued.yaml', 'lifeboat.yml', 'lifeboat.yaml'))

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        self.load_cache_plugin()
        key = self.get_cache_key(path)
        wants_cache = self.get_option('cache')
        containers = None
        if cache and wants_cache:
            try:
                containers = self._cache[key]
            except KeyError:
                containers = None       # nothing yet, or too old
        if containers is None:
            containers = self._read()
            if wants_cache:
                self._cache[key] = containers
        self._populate(containers)

    def _read(self) -> list[dict[str, Any]]:
        params = {name: plain(self.get_option(name)) for name in ('host_root', 'data_roots', 'containerd_root', 'engines')}
        bundles = plain(self.get_option('bundles'))
        if bool(params['host_root']) == bool(bundles):
            raise AnsibleParserError('dead_host: give either host_root or bundles.')
        try:
            if bundles:
                return of_bundles(os.path.abspath(bundles), self.get_option('verify'))
            return of_root(dict(params, host_root=os.path.abspath(params['host_root'])))
        except LifeboatError as exc:
            raise AnsibleParserError('dead_host: %s' % exc) from exc
        except OSError as exc:
            raise AnsibleParserError('dead_host: %s cannot be read: %s. Is the disk mounted, and may this user read it?' % (
                show(exc.filename or 'the disk'), exc.strerror)) from exc

    def _populate(self, containers: list[dict[str, Any]]) -> None:
        strict = self.get_option('strict')
        taken = set()
        for variables in containers:
            name = host_name(variables, taken)
            taken.add(name)
            self.inventory.add_host(name)
            for key, value in variables.items():
                self.inventory.set_variable(name, key, wrap_var(value))
            for group in group_names(variables):
                self.inventory.add_child(self.inventory.add_group(group), name)
            own = self.inventory.get_host(name).get_vars()
            self._set_composite_vars(self.get_option('compose'), own, name, strict=strict)
            self._add_host_to_composed_groups(self.get_option('groups'), own, name, strict=strict)
            self._add_host_to_keyed_groups(self.get_option('keyed_groups'), own, name, strict=strict)
