#!/usr/bin/env bash
# The playbook for three hosts: one is rescued, one has no Docker, one does not answer.
set -eux -o pipefail

collection="${ANSIBLE_COLLECTIONS_PATH%%:*}/ansible_collections/lifeboat/docker"
work="${OUTPUT_DIR:-$(mktemp -d)}/rescue"
rm -rf "$work"
mkdir -p "$work/empty"
export PYTHONDONTWRITEBYTECODE=1 ANSIBLE_LOCALHOST_WARNING=false ANSIBLE_HOST_KEY_CHECKING=false
python "$collection/tests/fixtures/deadroot.py" "$work/dead/var/lib/docker" --host-root "$work/dead"
# a host that does not answer is asked by ssh; where that is not installed, this ends as it would
if ! command -v ssh; then
    mkdir -p "$work/bin"
    printf '#!/bin/sh\necho "ssh: connect to host 127.0.0.1 port 1: Connection refused" >&2\nexit 255\n' > "$work/bin/ssh"
    chmod 755 "$work/bin/ssh"
    export PATH="$work/bin:$PATH"
fi

cat > "$work/inventory" <<END
good ansible_connection=local ansible_python_interpreter="$(command -v python)" rescue_host_root=$work/dead
none ansible_connection=local ansible_python_interpreter="$(command -v python)" rescue_host_root=$work/empty
away ansible_host=127.0.0.1 ansible_port=1 ansible_user=nobody
END

rescue() {
    ansible-playbook -i "$work/inventory" lifeboat.docker.rescue -e "rescue_dest=$work/out" -e "rescue_report_dir=$work/reports" \
        -e rescue_become=false "$@"
}
status() {
    set +e
    "$@" > "$work/log" 2>&1
    echo $?
    set -e
}

# check mode writes nothing and fails for nothing
rescue --limit good,localhost --check --diff | tee "$work/check.log"
grep -q 'Check mode: nothing of this run is kept' "$work/check.log"
test ! -e "$work/out"
test ! -e "$work/reports"

# all of them: the report is made, and fails
test "$(status rescue -e rescue_store_on=controller)" = 2
cat "$work/log"
# the recap is true: what failed has failed, and nothing else; the report came before
grep -Eq '^none .* failed=1 .*rescued=0' "$work/log"
grep -Eq '^good .* unreachable=0 .*failed=0 .*rescued=0' "$work/log"
grep -Eq '^away .* failed=1 .*rescued=0' "$work/log"
grep -q 'The host did not answer' "$work/log"
test -s "$work/reports/rescue-report.html"
python - "$work/reports/rescue-report.json" <<END
import json, sys
report = json.load(open(sys.argv[1]))
states = {record['host']: record['state'] for record in report['hosts']}
# the image of web leaves out a file named like a deletion
assert states == {'good': 'incomplete', 'none': 'failed', 'away': 'unreachable'}, states
assert [row['host'] for row in report['missing']] == ['away', 'none', 'good'], report['missing']
END

# the good one alone is a success, and nobody that answers still has a report
test "$(status rescue --limit good,localhost)" = 0
# ... whatever else is in the report
grep -q 'of 3 hosts' "$work/log"

# what follows in this block is the same on every ansible-core
ansible --version > "$work/core"
if ! grep -q 'core 2\.16' "$work/core"; then
    # a limit without localhost: a run that makes no report would be a success, as the hosts leave failing to the report
    test "$(status rescue --limit none -e "rescue_report_dir=$work/none")" = 2
    cat "$work/log"
    grep -Eq '^none .* failed=1 .*rescued=0' "$work/log"
    grep -q 'Nothing was rescued' "$work/log"
    test -s "$work/none/rescue-report.html"
    test "$(status rescue --limit away -e "rescue_report_dir=$work/away")" = 2
    grep -q 'did not answer' "$work/away/rescue-report.html"
    test "$(status rescue --limit none,away,localhost -e "rescue_report_dir=$work/away" -e rescue_fail_on=never)" = 0

    # the role alone fails at the host
    cat > "$work/role.yml" <<END
- hosts: none
  gather_facts: false
  roles:
    - lifeboat.docker.rescue
END
    test "$(status ansible-playbook -i "$work/inventory" "$work/role.yml" -e "rescue_dest=$work/out" -e "rescue_report_dir=$work/reports" \
        -e '{"rescue_data_roots": ["/no/such/root"]}')" = 2
    grep -q '/no/such/root' "$work/log"
fi

# the original compose files of a project: rescued with the rest, and used by the role restore in place of the recorded definitions
python - "$work" <<END
import glob, json, os, sys
work = sys.argv[1]
shop = os.path.join(work, 'back', 'shop')
for path in glob.glob(work + '/dead/var/lib/docker/containers/*/config.v2.json'):
    with open(path) as found:
        config = json.load(found)
    labels = config['Config']['Labels'] or {}
    if labels.get('com.docker.compose.project') == 'shop':
        labels.update({'com.docker.compose.project.working_dir': shop, 'com.docker.compose.project.config_files': shop + '/compose.yaml'})
        with open(path, 'w') as out:
            json.dump(config, out)
os.makedirs(work + '/dead' + shop)
for name, content in (('compose.yaml', 'services: {web: {image: "nginx:9", env_file: web.env}}\n'), ('web.env', 'A=1\n'), ('.env', 'B=2\n')):
    with open(work + '/dead' + shop + '/' + name, 'w') as out:
        out.write(content)
END
rescue --limit good,localhost -e "rescue_dest=$work/original" -e rescue_include=config,volumes -e rescue_store_on=controller > "$work/log"
grep -q 'What Compose would change' "$work/reports/rescue-report.html"
printf '#!/bin/sh\necho "$@" >> %s/calls\n' "$work" > "$work/compose"
chmod 755 "$work/compose"
cat > "$work/restore.yml" <<END
- hosts: good
  gather_facts: false
  roles:
    - role: lifeboat.docker.restore
      vars:
        restore_path: $work/original/good
        restore_target: directory
        restore_dest: $work/volumes
        restore_definition: original
        restore_compose_command: [$work/compose]
END
test "$(status ansible-playbook -i "$work/inventory" "$work/restore.yml")" = 2
grep -q 'add original_files to restore_allow' "$work/log"
test ! -e "$work/volumes"
ansible-playbook -i "$work/inventory" "$work/restore.yml" -e '{"restore_allow": ["original_files"]}'
test "$(cat "$work/calls")" = "--project-name shop --project-directory $work/back/shop --file $work/back/shop/compose.yaml up --no-start"
test "$(stat -c %a "$work/back/shop/.env" "$work/back/shop/web.env" | sort -u)" = 600
test -d "$work/volumes"
