#!/usr/bin/python
# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
module: docker_bundle_repository
short_description: Put bundles of rescued Docker data into a restic or borg repository, and take them back
version_added: 2.0.0
author:
  - Lifeboat maintainers (@lifeboat-docker)
description:
  - Verifies every bundle of a folder and puts those that are not there yet into an encrypted, deduplicating repository, with the restic
    or borg of the controller. The repository is an ordinary one, which these programs read without this collection.
  - Runs on the controller alone, whatever host the task is for. It needs no connection.
options:
  state:
    description:
      - V(stored) puts the bundles at O(path) into the repository, and applies O(keep) if it is set.
      - V(pruned) only applies O(keep).
      - V(listed) returns the bundles that fit O(tags).
      - V(restored) brings the bundles that fit O(tags) to O(dest), verified.
    type: str
    choices: [stored, pruned, listed, restored]
    default: stored
  path:
    description: Bundles on the controller, or folders that hold bundles up to three levels below them.
    type: list
    elements: path
    default: []
  repository:
    description:
      - Where the repository is, as restic or borg writes it. Credentials in it are not shown. It is handed over in the environment.
      - Needed unless O(after_bundle) is all that is wanted.
    type: str
  kind:
    description: Which program the repository belongs to, V(restic) or V(borg).
    type: str
    default: restic
  program:
    description: Name or absolute path of that program on the controller. The default is its own name.
    type: str
  password:
    description:
      - Password of the repository. It is handed over in the environment of the program and is in no argument and no message.
      - Without it and without O(password_file), the program uses its own variables of the environment that Ansible has.
    type: str
  password_file:
    description: A file on the controller with the password in its first line.
    type: path
  environment:
    description:
      - Further variables for the program, such as C(AWS_ACCESS_KEY_ID). Their values are not shown.
      - The program has the environment of C(ansible-playbook) too, without what begins with C(ANSIBLE_) or C(PYTHON).
    type: dict
    default: {}
  init:
    description:
      - Makes the repository if there is none. It is off because a mistyped place would become a new repository.
      - One of borg is made with C(repokey-blake2) and needs a password.
    type: bool
    default: false
  lock_timeout:
    description: How long to wait for a repository that somebody else has locked, in seconds or as V(10m).
    type: str
    default: 10m
  chunker_params:
    description:
      - How borg cuts archives into pieces, as its option C(--chunker-params) has it, such as V(buzhash,12,16,14,4095) (exponents of 2 of the
        smallest, the largest and the usual piece, and the window of the hash) or V(fixed,8192). Only these two forms are taken.
      - Without it V(buzhash,13,22,17,4095) is used, pieces of about 128 KiB. A changed page of a database costs at least one piece. Smaller ones
        cost memory of the controller (about 0.6 KB each) and a larger index. V(fixed,8192) fits PostgreSQL, V(fixed,16384) MariaDB and
        MySQL, in archives that are not compressed.
      - With other pieces than before, everything is new to a repository once.
      - The pieces of restic have a size that cannot be set.
    type: str
  keep:
    description:
      - What the program's own policy keeps of the bundles of one container, volume, layer or image. Keys are C(last), C(hourly),
        C(daily), C(weekly), C(monthly), C(yearly) with a number, and C(within) with a duration such as V(30d).
      - Everything else of that thing is removed, and the room is freed. Nothing is removed if it is empty. What does not come from this
        collection is never touched.
    type: dict
    default: {}
  tags:
    description:
      - Which bundles of the repository are meant, by C(host), C(kind), C(name), C(id), C(status), C(folder), C(bundle) (the digest), or
        C(container), C(volume), C(orphan), C(image) with a name. Values may be shell patterns.
      - C(time) is the latest time that a bundle may have, such as V(2026-01-31) or V(2026-01-31T18:00:00Z).
      - Of each thing the newest bundle is taken.
    type: dict
    default: {}
  every:
    description: Takes all bundles that fit O(tags), and not only the newest of each thing.
    type: bool
    default: false
  dest:
    description: Folder on the controller that receives the bundles with O(state=restored), as C(DEST/HOST/BUNDLE).
    type: path
  after_bundle:
    description:
      - A command for each verified bundle, after it is in the repository, or without any repository. It is a list of words and is not given
        to a shell. The word V({bundle}) becomes the path of the bundle.
      - Its environment has C(LIFEBOAT_BUNDLE) (the path), C(LIFEBOAT_DIGEST), C(LIFEBOAT_HOST), C(LIFEBOAT_KIND), C(LIFEBOAT_NAME),
        C(LIFEBOAT_STATUS) and C(LIFEBOAT_TIME), with unusual characters as C(%XX), and O(environment).
      - It is not run again for a bundle for which it succeeded; C(.lifeboat-sent) beside the bundles has a mark for each.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: none
  idempotent:
    description: When run twice in a row outside check mode, with the same arguments, the second invocation indicates no change.
    support: full
  platform:
    description: Target OS families that can be operated against.
    platforms: posix
    support: full
    details: Linux only.
seealso:
  - module: lifeboat.docker.docker_data_rescue
  - module: lifeboat.docker.docker_bundle_info
"""

EXAMPLES = r"""
- name: Put everything that was rescued into a repository
  lifeboat.docker.docker_bundle_repository:
    path: /srv/rescued
    repository: sftp:backup@vault:/srv/restic
    password_file: /etc/lifeboat/password
    keep: {last: 3, monthly: 12}

- name: Bring the newest bundle of one container back
  lifeboat.docker.docker_bundle_repository:
    state: restored
    repository: s3:s3.example.org/rescued
    password: "{{ vault_password }}"
    environment:
      AWS_ACCESS_KEY_ID: "{{ vault_key_id }}"
      AWS_SECRET_ACCESS_KEY: "{{ vault_key }}"
    tags: {host: dead1, container: web}
    dest: /srv/back

- name: Copy each bundle with a program of your own
  lifeboat.docker.docker_bundle_repository:
    path: /srv/rescued
    after_bundle: [rclone, copy, '{bundle}', 'vault:rescued']
"""

RETURN = r"""
bundles:
  description: One entry for each bundle that was looked at (V(stored)), or that fits O(tags).
  returned: state is not V(pruned)
  type: list
  elements: dict
  contains:
    path: {description: Folder of the bundle., type: str, returned: state V(stored) or V(restored)}
    state:
      description: V(sent), V(present), V(refused) (it is damaged or incomplete), V(failed), or V(would be sent) in check mode.
      type: str
      returned: state V(stored)
    reason: {description: Why it was refused or failed., type: str, returned: if it was}
    changed: {description: Whether it was sent or brought back., type: bool, returned: state V(stored) or V(restored)}
    bytes_added: {description: By how much the repository grew., type: int, returned: state V(stored)}
    key: {description: 'Its name in the repository: the ID of a snapshot, or the name of an archive.', type: str, returned: if it is there}
    stored: {description: When it was put there., type: str, returned: state V(listed) or V(restored)}
    bundle: {description: SHA-256 of its C(SHA256SUMS)., type: str, returned: always}
    host: {description: Host that it was rescued from., type: str, returned: always}
    kind: {description: 'V(container), V(volume), V(orphan) or V(image).', type: str, returned: always}
    name: {description: Name of the container or volume., type: str, returned: always}
    id: {description: First 12 digits of the ID of the container., type: str, returned: always}
    status: {description: Status of the rescue., type: str, returned: always}
    time: {description: When the bundle was written., type: str, returned: always}
summary:
  description: C(bundles), C(sent), C(present), C(refused), C(failed), C(bytes_added).
  returned: state V(stored)
  type: dict
hints:
  description: What would make the repository smaller.
  returned: state V(stored)
  type: list
  elements: str
removed:
  description: How many bundles O(keep) removed.
  returned: state V(stored) or V(pruned)
  type: int
"""
