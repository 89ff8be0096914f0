#!/usr/bin/env bash
# Every example of the documentation is run as it is written. They name /var/lib/docker, /mnt/dead and /srv/rescued, so they
# get a mount namespace of their own, in which these are a dead host that was built for them.
set -eux -o pipefail

collection="${ANSIBLE_COLLECTIONS_PATH%%:*}/ansible_collections/lifeboat/docker"
export PYTHONDONTWRITEBYTECODE=1 ANSIBLE_LOCALHOST_WARNING=false
unshare --mount --propagation private -- "$(command -v python)" examples.py "$collection" "${OUTPUT_DIR:-$(mktemp -d)}/examples"
