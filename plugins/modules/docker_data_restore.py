#!/usr/bin/python
# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
module: docker_data_restore
short_description: Restore a rescued container on a healthy host
version_added: 1.0.0
author:
  - Lifeboat maintainers (@lifeboat-docker)
description:
  - Restores a bundle that M(lifeboat.docker.docker_data_rescue) wrote on a running Docker engine or Podman. It makes the image, the networks, the
    volumes with their data, and the container as it was defined. Needs nothing but Python on the managed node.
  - Also unpacks a bundle into plain folders (O(target=directory)), or its volumes into the data root of a stopped engine
    (O(offline=true)).
  - Everything is verified and planned first. If there is a reason against the restore, nothing is changed, and all reasons are listed.
  - If a step fails, the steps before it are undone (see O(keep_partial)).
options:
  path:
    description:
      - The bundle, a folder with a C(manifest.json), or a folder that holds bundles up to three levels below it. Bundles that are damaged or
        incomplete are refused.
      - Several bundles are restored in the order in which they need each other, lone volumes first, then containers by the time of their
        creation. If one is refused or fails, the others are still restored; the task fails at its end and names it. All of them are
        checked first for what needs O(allow).
      - On the managed node, or on the controller if O(remote_src=false).
    type: path
    required: true
  remote_src:
    description:
      - With V(false) O(path) is on the controller, relative to the playbook. The bundle passes through the temporary folder of the
        task in pieces of 8 MiB as it is read, and is never on the managed node as a whole.
      - Needs to log in as the user who restores, or C(become) root.
    type: bool
    default: true
  restore:
    description:
      - What is restored, by default everything that the bundle has. V(image) loads the image with the changes of the container,
        V(volumes) makes and fills the volumes, V(container) creates the container and the networks it needs.
      - V(container) needs an image, from the bundle or by O(image).
      - V(binds) puts the host's folders that were bind-mounted back to where they were, on the engine's host. A folder that
        is exactly as in the bundle is not changed (names, kinds, content, links, owners, modes and extended
        attributes are compared, not times). Any other folder that is not empty is refused unless O(force=true). Files of the operating
        system, such as C(/etc/localtime), are not changed. Look at the result of check mode first.
      - V(dumps) (new in version 2.0.0, never by default) loads each dump of PostgreSQL, MariaDB, Redis or Valkey in the bundle into a new volume called
        C(<container>-dump-<engine>-<number>), beside the volumes with the raw data, and counts the rows there. The database server of the
        bundle's image does that, in a container without network and without privileges, which is removed afterwards. If a count is not that
        of the dead host, the task fails and the volume is removed. Give V(image) too where the engine does not have the image.
      - A dump was written by programs of the dead host. Its SQL runs with all rights of the new database server.
      - V(secrets) (new in version 2.0.0, never by default) makes the secrets of Podman again whose values are in the bundle (V(secrets) among
        the C(include) of the rescue), with their driver and labels. A secret that is there with the same
        value is not changed, one with another value is refused unless O(force=true). Podman before 4.7 does not tell values; there, a
        secret that exists is left as it is, which RV(problems) says. No value is in the result, in a log, or on a command line.
      - The container itself is made without its secrets, since the API has no field for them. C(config/podman.sh) of the bundle makes it with them.
    type: list
    elements: str
    choices: [image, volumes, container, binds, dumps, secrets]
    default: [image, volumes, binds, container]
  name:
    description:
      - New name of the container; for the bundle of a lone volume that of the volume. The default is the recorded name.
      - Only for a single bundle.
    type: str
  volume_map:
    description:
      - 'New names for volumes, as C(old: new). Each old name must be a volume of a bundle.'
      - Formerly anonymous volumes are called C(<container>-<path in it>) by default.
    type: dict
    default: {}
  image:
    description:
      - Create the container from this image of the engine rather than from the rescued one, for example with a newer minor version.
      - What the container changed outside its volumes is then missing.
    type: str
  state:
    description: Whether the container is also started.
    type: str
    choices: [created, started]
    default: created
  verify_start:
    description:
      - With O(state=started), waits until the container is healthy (or, without a health check, has stayed up for three seconds), and
        gives it its restart policy only then. If it does not come up, everything is undone and the end of its log is shown.
    type: bool
    default: false
  start_timeout:
    description: How long O(verify_start) waits, in seconds or as V(10m).
    type: str
    default: 2m
  trial:
    description:
      - Does everything, and takes back what it made at the end, so that nothing but the result is left. It shows that a bundle can be restored.
      - What this needs for a while is room, and free names and ports, on the engine. It cannot be combined with O(force).
    type: bool
    default: false
    version_added: 2.0.0
  force:
    description:
      - Replaces a container of the same name, or the content of a volume. It never merges.
      - Loads an image although its name belongs to another image.
      - Replaces the value of a secret.
    type: bool
    default: false
  keep_old:
    description:
      - What O(force) replaces is kept. A container is stopped and renamed, the content of a volume goes into a volume of its own, the value of a
        secret into a secret of its own, all called C(<name>-before-<time>). With V(false) it is removed, but only when everything has succeeded.
    type: bool
    default: true
  keep_partial:
    description: Keeps what was made before a step failed.
    type: bool
    default: false
  ignore:
    description:
      - Reasons that are only noted, and do not refuse the restore.
      - V(architecture), the image is for another processor; V(database_version), the data are of another major version than the
        image's database; V(holes), the engine would have to write more than 10 GiB of zeros for the holes of sparse files;
        V(device_nodes), a volume holds device nodes, which are harmless only if you know the container that made them.
    type: list
    elements: str
    choices: [architecture, database_version, holes, device_nodes]
    default: []
  allow:
    description:
      - Rights on the host that a container may get. With them, whoever wrote the bundle can take over the host. So each of them is
        refused unless it is named here. RV(asks) and the message say which ones the container has.
      - V(privileged); V(host_namespaces), the network, PID, IPC, UTS, user or cgroup namespace of the host; V(host_paths), folders of the
        operating system, C(/), homes and the like as bind mounts, also their data in the bundle; V(docker_socket), the socket of an engine;
        V(devices), devices of the host; V(capabilities), more capabilities than every container has, and confinement that is switched off;
        V(volume_devices), volumes whose driver options lead to a folder or device of the host.
    type: list
    elements: str
    choices: [privileged, host_namespaces, host_paths, docker_socket, devices, capabilities, volume_devices]
    default: []
  if_nothing:
    description:
      - What to do with a bundle that has nothing of what O(restore) names, such as one without a volume with O(restore=[volumes]).
      - V(skip) reports it in RV(nothing) and RV(notes). Any other reason still refuses the restore.
      - With several bundles, those that have nothing of it are always skipped. If all are skipped, this is an error.
    type: str
    choices: [fail, skip]
    default: fail
  target:
    description: Restore to a running engine, or unpack into folders below O(dest).
    type: str
    choices: [engine, directory]
    default: engine
  dest:
    description:
      - Folder for O(target=directory); with several bundles each gets a folder of its own in it.
      - Volumes are unpacked into C(volumes/<name>), bind mounts into C(binds/), the file system of the container into C(rootfs) (or C(writable) if
        the bundle has only that).
      - Deleted files that the container had open (C(open_files) of M(lifeboat.docker.docker_data_rescue)) are unpacked into C(open-files), and are
        for a person to choose from. With O(target=engine) they are left alone.
    type: path
  offline:
    description:
      - Writes volumes into the data root of a stopped engine. It is checked first that it is stopped. Images and containers need a running one.
    type: bool
    default: false
  data_root:
    description: Data root for O(offline=true), if there is more than one on the managed node.
    type: path
  engine:
    description:
      - What has to answer at O(docker_host). With V(auto) that is Docker or Podman, whichever it is.
      - With V(podman) and the default of O(docker_host), the socket is that of Podman of the user who runs the task, C(/run/podman/podman.sock) for
        root and C($XDG_RUNTIME_DIR/podman/podman.sock) for others. Its unit is C(podman.socket).
      - Podman is spoken to at its Docker-compatible socket. What it cannot take, and what it shows otherwise than it was asked for, is
        in RV(problems).
    type: str
    choices: [auto, docker, podman]
    default: auto
    version_added: 2.0.0
  docker_host:
    description: Where the engine listens, as C(unix:///path), C(tcp://host:port) or C(https://host:port).
    type: str
    default: unix:///var/run/docker.sock
  tls:
    description: Speak TLS to a C(tcp://) address. Port 2376 implies it.
    type: bool
    default: false
  validate_certs:
    description: Check the engine's certificate.
    type: bool
    default: true
  ca_path:
    description: File with the certificates of authorities that are trusted.
    type: path
  client_cert:
    description: File with the certificate of the client.
    type: path
  client_key:
    description: File with the key of the client.
    type: path
  timeout:
    description: How long to wait for the engine's answer to small requests, in seconds or as V(2m).
    type: str
    default: 1m
extends_documentation_fragment:
  - lifeboat.docker.docker_disk.attributes
attributes:
  check_mode:
    support: full
    details: Nothing is made on the engine, not even for a moment. Archives are read to their end to find what would be refused.
  diff_mode:
    support: full
  idempotent:
    support: full
    details: A container of the same definition, and volumes that were restored from the same archive, are not changed, even if
      something was written into them since.
notes:
  - An archive is refused if a member would leave its folder (absolute names, C(..), through a link) or is a device node
    (but see O(ignore)).
  - Data go directly into the folder of a volume if that folder can be reached on the managed node by root, otherwise through the engine's
    API. The API writes the holes of sparse files as zeros. The result says which way was used.
  - Into the volumes of a user's Podman (rootless) data go over its API, which keeps owners as the container sees them; a few files are looked at
    afterwards. Such a volume that is not empty is replaced with O(force=true) only as this user and with the command C(podman).
  - A container on Podman gets the label C(lifeboat.docker.restored), by which a second run knows it.
seealso:
  - module: lifeboat.docker.docker_data_rescue
  - module: lifeboat.docker.docker_bundle_info
"""

EXAMPLES = r"""
- name: See what would happen
  lifeboat.docker.docker_data_restore:
    path: /srv/rescued/dead1/shop-db-0f1e2d3c4b5a
  check_mode: true
  diff: true
  become: true

- name: Bring it back and start it
  lifeboat.docker.docker_data_restore:
    path: /srv/rescued/dead1/shop-db-0f1e2d3c4b5a
    state: started
    verify_start: true
  become: true

- name: Let it use the socket of the engine, if it asks for that and where it comes from is trusted
  lifeboat.docker.docker_data_restore:
    path: /srv/rescued/dead1/shop-db-0f1e2d3c4b5a
    allow: [docker_socket]
  become: true

- name: From the controller, under another name
  lifeboat.docker.docker_data_restore:
    path: rescued/dead1/shop-db-0f1e2d3c4b5a
    remote_src: false
    name: shop-db-restored
    volume_map:
      shop_data: shop_data_restored
  become: true

- name: The dumps of its databases, beside the raw data
  lifeboat.docker.docker_data_restore:
    path: /srv/rescued/dead1/shop-db-0f1e2d3c4b5a
    restore: [image, dumps]
  become: true

- name: On Podman of a user, as this user
  lifeboat.docker.docker_data_restore:
    path: /srv/rescued/dead1/shop-db-0f1e2d3c4b5a
    engine: podman

- name: Only the data, into a folder
  lifeboat.docker.docker_data_restore:
    path: /srv/rescued/dead1/volume-shop_data
    restore: [volumes]
    target: directory
    dest: /srv/restored
  become: true
"""

RETURN = r"""
bundles:
  description:
    - If O(path) holds several bundles, the result of each, with the keys below and its C(path). They stand here only.
    - If one of them failed, only C(name), C(path), C(changed) and C(nothing) of those that did not.
  returned: with several bundles
  type: list
  elements: dict
name:
  description: Name of the container (or volume) that was restored.
  returned: success
  type: str
  sample: shop-db
steps:
  description: What was done, or would be done in check mode, in order.
  returned: success
  type: list
  elements: dict
  contains:
    kind: {description: 'V(image), V(network), V(volume), V(secret), V(container), V(start) or V(folder).', type: str, returned: always}
    name: {description: Of what., type: str, returned: always}
    action: {description: 'V(keep) means that nothing had to be done.', type: str, returned: always}
    message: {description: The same as a sentence., type: str, returned: always}
nothing:
  description: V(true) if the bundle has nothing of what O(restore) asks for, and O(if_nothing=skip).
  returned: success
  type: bool
image:
  description: The image of the bundle. C(id) as the engine knows it, C(reference).
  returned: success
  type: dict
networks:
  description: Networks of the container. C(name), C(created).
  returned: success
  type: list
  elements: dict
volumes:
  description: Volumes of the bundle.
  returned: success
  type: list
  elements: dict
  contains:
    name: {description: Name on the engine., type: str, returned: always}
    recorded: {description: Name on the dead host., type: str, returned: always}
    path: {description: The folder., type: str, returned: 'O(target=directory) or O(offline=true)'}
    way: {description: 'V(direct) or V(api), how the data went in; none if check mode cannot tell.', type: str, returned: always}
    why: {description: Why this way., type: str, returned: with an engine}
    entries: {description: Members of the archive., type: int, returned: when filled}
    files: {description: Files among them., type: int, returned: when filled}
    bytes: {description: Size of their content., type: int, returned: when filled}
    notes: {description: What could not be kept., type: list, elements: str, returned: always}
    databases: {description: See RV(databases)., type: list, elements: dict, returned: always}
binds:
  description: Bind mounts that were restored, with the same keys as RV(volumes).
  returned: when there are any
  type: list
  elements: dict
container:
  description: The container. C(id), C(name), and C(state) if it was started.
  returned: success
  type: dict
dumps:
  description:
    - Dumps that O(restore) asks for. C(name), C(engine), C(version), C(volume), C(destination) (where a container mounts it), C(data_path),
      C(tables), C(rows), C(compared) (the number of tables whose rows were counted and are equal; none in check mode), C(counts) (of these), C(errors).
  returned: success
  type: list
  elements: dict
secrets:
  description: Secrets that O(restore) asks for. C(name), C(created), C(replaced).
  returned: when O(restore) has V(secrets)
  type: list
  elements: dict
  version_added: 2.0.0
asks:
  description: What the definition of the container asks of its host. C(kind), one of the choices of O(allow), and C(what).
  returned: success
  type: list
  elements: dict
databases:
  description:
    - Databases in what was restored, in volumes and in the container itself. C(engine), C(title), C(version), C(path), C(volume) (none for
      the container itself), C(clean_shutdown), C(state), and C(expect), which says what the first start will bring.
  returned: success
  type: list
  elements: dict
problems:
  description:
    - What the engine was not asked for, since it refuses it, and what it shows otherwise than it was asked for, or not at all. With Podman, and with a
      Docker that does not know what a newer one knew (C(ENGINE_LACKS)). C(code),
      C(severity), C(object), C(message), C(next_step), C(loses_data), C(blocks_start).
    - The codes are C(ENGINE_LACKS), C(NOT_AS_ASKED), C(NOT_SHOWN), C(SECRET_LOST) and C(SECRET_NOT_COMPARED).
  returned: success
  type: list
  elements: dict
  version_added: 2.0.0
kept:
  description: What was replaced and where it is now. C(was), C(now).
  returned: success, but not in check mode
  type: list
  elements: dict
notes:
  description: What a person should know.
  returned: success
  type: list
  elements: str
"""

import os
from typing import Any, Dict

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.lifeboat.docker.plugins.module_utils import module as shared
from ansible_collections.lifeboat.docker.plugins.module_utils.restore import plan, run
from ansible_collections.lifeboat.docker.plugins.module_utils.restore.engineapi import Tls


def restore(module: AnsibleModule) -> Dict[str, Any]:
    params = module.params
    # the action plugin puts the folder that a bundle of the controller comes through in the place of its path
    result = (run.restore_all if params['remote_src'] else run.restore_remote)(plan.Options(
        path=os.path.abspath(os.fsencode(params['path'])), restore=tuple(params['restore']), name=params['name'] or '',
        volume_map=dict((str(key), str(value)) for key, value in params['volume_map'].items()), image=params['image'] or '',
        docker_host=params['docker_host'], engine=params['engine'], use_tls=params['tls'], timeout=params['timeout'],
        tls=Tls(params['ca_path'] or '', params['client_cert'] or '', params['client_key'] or '', params['validate_certs']),
        state=params['state'], force=params['force'], keep_old=params['keep_old'], keep_partial=params['keep_partial'],
        verify_start=params['verify_start'], trial=params['trial'],
        start_timeout=params['start_timeout'], ignore=tuple(params['ignore']), allow=tuple(params['allow']),
        target=params['target'], dest=os.path.abspath(os.fsencode(params['dest'])) if params['dest'] else b'',
        offline=params['offline'], data_root=os.fsencode(params['data_root'] or ''), check=module.check_mode,
        if_nothing=params['if_nothing']))
    if not module._diff:
        result.pop('diff', None)
    failure = result.pop('failure', '')
    if failure:
        module.fail_json(msg=failure, **result)
    return result


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            path=dict(type='path', required=True),
            remote_src=dict(type='bool', default=True),
            restore=dict(type='list', elements='str', choices=['image', 'volumes', 'container', 'binds', 'dumps', 'secrets'],
                         default=['image', 'volumes', 'binds', 'container']),
            name=dict(type='str'),
            volume_map=dict(type='dict', default={}),
            image=dict(type='str'),
            state=dict(type='str', choices=['created', 'started'], default='created'),
            verify_start=dict(type='bool', default=False),
            start_timeout=dict(type='str', default='2m'),
            trial=dict(type='bool', default=False),
            force=dict(type='bool', default=False),
            keep_old=dict(type='bool', default=True),
            keep_partial=dict(type='bool', default=False),
            ignore=dict(type='list', elements='str', choices=['architecture', 'database_version', 'holes', 'device_nodes'], default=[]),
            allow=dict(type='list', elements='str', default=[], choices=['privileged', 'host_namespaces', 'host_paths', 'docker_socket',
                                                                         'devices', 'capabilities', 'volume_devices']),
            if_nothing=dict(type='str', choices=['fail', 'skip'], default='fail'),
            target=dict(type='str', choices=['engine', 'directory'], default='engine'),
            dest=dict(type='path'),
            offline=dict(type='bool', default=False),
            data_root=dict(type='path'),
            engine=dict(type='str', choices=['auto', 'docker', 'podman'], default='auto'),
            docker_host=dict(type='str', default='unix:///var/run/docker.sock'),
            tls=dict(type='bool', default=False),
            validate_certs=dict(type='bool', default=True),
            ca_path=dict(type='path'),
            client_cert=dict(type='path'),
            client_key=dict(type='path', no_log=False),
            timeout=dict(type='str', default='1m'),
        ),
        required_if=[('target', 'directory', ('dest',))],
        required_together=[('client_cert', 'client_key')],
        supports_check_mode=True,
    )
    shared.run(module, restore)


if __name__ == '__main__':
    main()
