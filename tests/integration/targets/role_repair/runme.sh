#!/usr/bin/env bash
# A host with a damaged image layer: one donor host has not got the image, one has it. No Docker is needed: the donors' is a script.
set -eux -o pipefail

collection="${ANSIBLE_COLLECTIONS_PATH%%:*}/ansible_collections/lifeboat/docker"
work="${OUTPUT_DIR:-$(mktemp -d)}/repair"
rm -rf "$work"
mkdir -p "$work/bin" "$work/none"
# short: Ansible makes a socket in it
TMPDIR="$(mktemp -d)"
trap 'rm -rf "$TMPDIR"' EXIT
export PYTHONDONTWRITEBYTECODE=1 ANSIBLE_LOCALHOST_WARNING=false TMPDIR

# the dead host, and what docker save of a healthy one gives
PYTHONPATH="$collection/tests/fixtures" python - "$work" <<END
import io, json, os, sys, tarfile
import deadroot
work = sys.argv[1]
root = work + '/dead/var/lib/docker'
image = deadroot.build(root, containers=2, host_root=work + '/dead').images[0]
with open('%s/image/overlay2/imagedb/content/sha256/%s' % (root, image.id[7:]), 'rb') as stream:
    members = [('config.json', stream.read())]
members += [('%d.tar' % number, layer.tar) for number, layer in enumerate(image.layers)]
members.append(('manifest.json', json.dumps([{'Config': 'config.json', 'RepoTags': [], 'Layers': [name for name, dummy in members[1:]]}]).encode()))
with tarfile.open(work + '/saved.tar', 'w') as tar:
    for name, data in members:
        item = tarfile.TarInfo(name)
        item.size = len(data)
        tar.addfile(item, io.BytesIO(data))
for folder, dummy, names in os.walk('%s/overlay2/%s/diff' % (root, image.layers[0].cache_id)):
    for name in sorted(names):
        path = os.path.join(folder, name)
        if os.path.isfile(path) and not os.path.islink(path) and os.path.getsize(path) and os.stat(path).st_nlink == 1:
            os.rename(path, work + '/whole')
            open(path, 'w').close()
            open(work + '/damaged', 'w').write(path)
            sys.exit(0)
sys.exit('no file to damage')
END
cat > "$work/bin/docker" <<END
#!/bin/sh
test "\$*" = "save --output \$3 -- shop:1" || exit 9
test ! -e "\$LIFEBOAT_TEST_NONE" || { echo "No such image: shop:1" >&2; exit 1; }
cp "$work/saved.tar" "\$3"
END
chmod 755 "$work/bin/docker"
damaged=$(cat "$work/damaged")
python="$(command -v python)"
cat > "$work/inventory" <<END
dead ansible_connection=local ansible_python_interpreter="$python"
good ansible_connection=local ansible_python_interpreter="$python"
none ansible_connection=local ansible_python_interpreter="$python"
END
cat > "$work/repair.yml" <<END
- hosts: dead
  gather_facts: false
  environment:
    PATH: "$work/bin:{{ lookup('ansible.builtin.env', 'PATH') }}"
    # the file is there: that host has not got the image
    LIFEBOAT_TEST_NONE: "{{ '$work/none' if repair__donor_host | default('') == 'none' else '$work/nothing' }}"
  roles:
    - role: lifeboat.docker.repair
      vars:
        repair_host_root: $work/dead
        repair_donor_hosts: [none, good]
        repair_donor_images: ['shop:1']
END
repair() {
    ansible-playbook -i "$work/inventory" "$work/repair.yml" "$@" | tee "$work/log"
}
left() {
    test -z "$(find "$TMPDIR" /tmp -maxdepth 1 -name 'lifeboat-donor-*' -newer "$work/inventory")"
}

# check mode fetches, plans, writes nothing, and leaves no folder behind
repair -e repair_state=repaired --check
grep -q 'none is no donor: No such image' "$work/log"
grep -q 'would be done: LAYER_FILE' "$work/log"
test ! -s "$damaged"
left
repair -e repair_state=repaired
grep -q 'done: LAYER_FILE' "$work/log"
cmp "$damaged" "$work/whole"
left
# idempotent
repair -e repair_state=repaired
grep -Eq '^dead .* changed=0 .*failed=0' "$work/log"
# without the names of images nothing is begun
if repair -e '{"repair_donor_images": []}'; then
    exit 1
fi
grep -q 'repair_donor_hosts needs repair_donor_images' "$work/log"
# everything back
repair -e repair_state=reverted -e '{"repair_donor_hosts": []}'
test ! -s "$damaged"
left
