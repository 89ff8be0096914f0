"""Documentation that the modules share."""


class ModuleDocFragment(object):
    DOCUMENTATION = r"""
options:
  host_root:
    description:
      - Folder on the managed node under which the root file system of the dead host is visible.
      - Paths that are found in configuration files are looked up below it, and links are resolved inside it.
    type: path
    default: /
  data_roots:
    description:
      - Docker data roots to read, as the dead host knew them, for example V(/var/lib/docker).
      - Empty means that they are looked for in C(daemon.json), systemd units, sysconfig files, rootless home directories,
        the snap package and the default places.
    type: list
    elements: path
    default: []
  containerd_root:
    description:
      - Root of the containerd that holds the layers, for hosts with the containerd image store.
      - Looked for in C(<data root>/containerd/daemon), in containerd's configuration and in C(/var/lib/containerd) if not given.
    type: path
  engines:
    description:
      - Container engines to look for, of V(docker), V(podman) (Buildah too), V(crio), V(kubernetes) (on containerd) and V(nerdctl);
        V(all) means each of them.
      - An unknown name is an error that lists what there is.
    type: list
    elements: str
    default: [all]
    version_added: 2.0.0
  containers:
    description:
      - Names, ID prefixes of at least four digits, or shell globs of containers. Empty means all.
      - A pattern that matches nothing is an error that lists what there is.
    type: list
    elements: str
    default: []
requirements:
  - Python 3.6 or later on the managed node. No Docker is needed there.
"""

    # of modules that write what they read into a folder; `dest` itself is with each, which says what is in it
    OUTPUT = r"""
options:
  host_name:
    description:
      - Name of the folder for this host below O(dest).
      - The default is the inventory name of the host. M(lifeboat.docker.docker_database_dump) takes the name that the dead host had.
    type: str
  compression:
    description: V(auto) uses the best program that the managed node has, V(zstd) first.
    type: str
    choices: [auto, zstd, gzip, xz, none]
    default: auto
"""

    ATTRIBUTES = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying target.
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in C(check_mode)), when in diff mode.
  idempotent:
    description: When run twice in a row outside check mode with the same arguments, the second run indicates no change.
  platform:
    description: Target OS families that can be operated against.
    platforms: posix
    support: full
    details: Linux only.
"""

    ACTIONGROUP = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/lifeboat.docker.docker) in C(module_defaults) to set defaults for this module.
    support: full
    membership:
      - lifeboat.docker.docker
"""

    FACTS = r"""
options: {}
attributes:
  facts:
    description: Action returns an C(ansible_facts) dictionary that will update existing host facts.
    support: full
"""
