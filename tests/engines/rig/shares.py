"""The tests of real engines in several runs, each of which builds its own dead roots and no other's.

`LIFEBOAT_ENGINES_SHARE` names the one share that a run is to have; without it a run has all of them.
"""
import re

# share: the kinds of dead roots that its tests read
SHARES = {'debian': ('debian-overlay2',), 'newer': ('newer-overlay2', 'newer-containerd-packaged'), 'containerd': ('newer-containerd',),
          'drivers': ('debian-userns', 'debian-rootless', 'debian-vfs', 'debian-btrfs'), 'own': (), 'repair': (), 'databases': (), 'chance': (),
          'kube': ('kube-containerd', 'kube-nerdctl', 'kube-containerd-newer', 'kube-nerdctl-newer'),
          'podman': ('podman-root', 'podman-vfs', 'podman-rootless', 'podman-fuse', 'podman-newer-root', 'podman-newer-rootless', 'podman-newer-fuse')}
_KIND = re.compile('|'.join(sorted((kind for kinds in SHARES.values() for kind in kinds), key=len, reverse=True)))
# tests whose names do not begin with the kind of the root that they read
_OF = {'test_nothing_differs': 'chance', 'test_random_damage': 'chance', 'test_every_option_there_and_back': 'chance',
       'test_open_files_of_podman_without_a_control_group': 'podman', 'test_owner_ids': 'drivers',
       'test_without_hard_links_the_command_fetches_the_blobs': 'debian', 'test_a_root_with_a_user_namespace_has_shifted_owners': 'drivers'}
_BY_FIXTURE = (('dead_databases', 'databases'), ('small_root_of', 'repair'), ('donor_root_of', 'repair'), ('dead_podman_of', 'podman'),
               ('start_podman', 'podman'), ('dead_kube_of', 'kube'))


def share_of(name, fixtures):
    """The share of a test: by its NAME with parameters, and the names of the FIXTURES that it uses."""
    plain = name.split('[')[0]
    if plain in _OF:
        return _OF[plain]
    for fixture, share in _BY_FIXTURE:
        if fixture in fixtures:
            return share
    if not {'dead_root_of', 'subject'} & set(fixtures):
        return 'own'                    # it starts engines for itself
    found = _KIND.search(name)
    kind = found.group(0) if found else 'debian-overlay2'
    return next(share for share, kinds in SHARES.items() if kind in kinds)
