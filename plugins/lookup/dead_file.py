# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: dead_file
short_description: Read a file of a container of a dead Docker host
version_added: 2.0.0
author:
  - Lifeboat maintainers (@lifeboat-docker)
description:
  - Returns the content of a file as the container saw it, with all layers together and volumes and binds at their places. No daemon is
    asked. The disk must be visible on the controller, as lookups run there.
  - The content comes from a disk that is not trusted. It is never templated.
options:
  _terms:
    description: Files as C(OBJECT:PATH), where the object is the name of a container, C(volume:NAME), C(layer:NAME) or C(image:REF).
    type: list
    elements: str
    required: true
  host_root:
    description: Folder under which the root file system of the dead host is visible.
    type: path
    default: /
  base64:
    description: Returns the content in base64, for bytes that are not UTF-8; without it, they are an error.
    type: bool
    default: false
  max_size:
    description: Largest file that is read, in bytes or as V(64M). A larger one is an error.
    type: str
    default: 16M
extends_documentation_fragment:
  - lifeboat.docker.dead_disk
seealso:
  - module: lifeboat.docker.docker_data_rescue
"""

EXAMPLES = r"""
- name: Bring the configuration of a dead container onto this host
  ansible.builtin.copy:
    content: "{{ lookup('lifeboat.docker.dead_file', 'web:/etc/hostname', host_root='/mnt/dead') }}"
    dest: /srv/rescued/hostname
    mode: '0600'

- name: A key store, whose bytes are no text
  ansible.builtin.copy:
    content: "{{ lookup('lifeboat.docker.dead_file', 'volume:shop_data:/README', host_root='/mnt/dead', base64=true) | b64decode }}"
    dest: /srv/rescued/README
    mode: '0600'
"""

RETURN = r"""
_raw:
  description: The content of each file, as text or in base64.
  type: list
  elements: str
"""

import base64 as encodings
import os
import stat
from typing import TYPE_CHECKING, Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible.utils.unsafe_proxy import wrap_var

from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import objects
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.formats import quantities
from ansible_collections.lifeboat.docker.plugins.module_utils.formats.wording import show
from ansible_collections.lifeboat.docker.plugins.plugin_utils.plaindata import plain

if TYPE_CHECKING:
    from ansible_collections.lifeboat.docker.plugins.module_utils.engines.registry import Host

CHUNK = 1 << 20


def content(host: Host, text: str, most: int) -> bytes:
    """The bytes of the file that TEXT (OBJECT:PATH) names, at most MOST. LifeboatError where there is none, or not all of it."""
    reference = objects.with_path(text)
    with objects.opened(host, reference) as found:
        node = objects.lookup(found, reference.path)
        if not stat.S_ISREG(node.entry.st.st_mode):
            raise LifeboatError('%s is no regular file.' % show(text))
        if found.partial and not found.files.is_mounted(node.names):
            raise LifeboatError('%s may not be what the container saw: %s' % (show(text), ' '.join(found.partial)))
        fd = node.entry.open()
        try:
            return _read(fd, text, most)
        finally:
            os.close(fd)


def _read(fd: int, text: str, most: int) -> bytes:
    pieces, size = [], 0
    while True:
        piece = os.read(fd, CHUNK)
        if not piece:
            return b''.join(pieces)
        size += len(piece)
        if size > most:
            raise LifeboatError('%s is larger than max_size. Fetch it with lifeboat.docker.docker_data_rescue and paths.' % show(text))
        pieces.append(piece)


class LookupModule(LookupBase):
    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        self.set_options(var_options=variables, direct=kwargs)
        params = {name: plain(self.get_option(name)) for name in ('host_root', 'data_roots', 'containerd_root', 'engines')}
        params['host_root'] = os.path.abspath(params['host_root'])
        found = []
        try:
            most = quantities.size(plain(self.get_option('max_size')))
            with registry.host_of(params) as host:
                for term in plain(list(terms)):
                    found.append(self._shown(term, content(host, term, most)))
        except (LifeboatError, ValueError) as exc:
            raise AnsibleLookupError('dead_file: %s' % exc) from exc
        except OSError as exc:
            raise AnsibleLookupError('dead_file: %s cannot be read: %s. Is the disk mounted, and may this user read it?' % (
                show(exc.filename or 'the disk'), exc.strerror)) from exc
        return wrap_var(found)

    def _shown(self, term: str, raw: bytes) -> str:
        if self.get_option('base64'):
            return encodings.b64encode(raw).decode('ascii')
        try:
            return raw.decode('utf-8')
        except UnicodeDecodeError as exc:
            raise LifeboatError('%s has bytes that are not UTF-8, the first at %d. Ask for base64=true.' % (show(term), exc.start)) from None
