#!/usr/bin/env bash
# A rescue goes into a repository, signed; the same rescue sends nothing more; it comes back, and nobody saw the password.
set -eux -o pipefail

collection="${ANSIBLE_COLLECTIONS_PATH%%:*}/ansible_collections/lifeboat/docker"
work="${OUTPUT_DIR:-$(mktemp -d)}/repository"
rm -rf "$work"
mkdir -p "$work/home"
export PYTHONDONTWRITEBYTECODE=1 ANSIBLE_LOCALHOST_WARNING=false XDG_CACHE_HOME="$work/home" BORG_BASE_DIR="$work/home"
for each in restic ssh-keygen; do
    if ! command -v "$each"; then
        echo "NOT RUN: role_rescue_repository needs $each"
        exit 0
    fi
done
python "$collection/tests/fixtures/deadroot.py" "$work/dead/var/lib/docker" --host-root "$work/dead"
ssh-keygen -q -t ed25519 -N '' -f "$work/key"
printf 'ann@example.org %s' "$(cat "$work/key.pub")" > "$work/allowed"

cat > "$work/inventory" <<END
dead1 ansible_connection=local ansible_python_interpreter="$(command -v python)" rescue_host_root=$work/dead
END
cat > "$work/variables.yml" <<END
rescue_dest: $work/out
rescue_report_dir: $work/reports
rescue_become: false
rescue_store_on: controller
rescue_containers: [web, db]
rescue_include: [config, writable, volumes]
rescue_fail_on: never
rescue_sign: $work/key
rescue_repository: $work/restic
rescue_repository_password: sesame-4711
rescue_repository_init: true
rescue_repository_keep: {last: 2}
rescue_repository_after_bundle: [sh, -c, 'echo "\$1" >> "\$0"', $work/hook, '{bundle}']
END

rescue() {
    ansible-playbook -i "$work/inventory" lifeboat.docker.rescue -e "@$work/variables.yml" "$@"
}

rescue -vvv > "$work/first.log" 2>&1 || { cat "$work/first.log"; exit 1; }
grep -q '2 of 2 bundles were sent, 0 were there already' "$work/first.log"
# archives that the repository can find what is new in
test "$(find "$work/out" -name '*.tar' | wc -l)" -gt 2
test "$(find "$work/out" -name '*.tar.*' ! -name '*.sha256' | wc -l)" = 0
test "$(sort -u "$work/hook" | wc -l)" = 2

# back, of one container, and it is the same, signature and all
ansible-playbook lifeboat.docker.restore_repository -e "restore_repository=$work/restic restore_repository_password=sesame-4711" \
    -e '{"restore_repository_tags": {"host": "dead1", "container": "web"}}' -e "restore_repository_dest=$work/back" > "$work/back.log" 2>&1
diff -r "$work"/back/dead1/web-* "$work"/out/dead1/web-*

# neither what Ansible says at -vvv nor a report has the password
test "$(cat "$work"/*.log | grep -c sesame)" = 0
test -s "$work/reports/rescue-report.html"
test "$(grep -rc sesame "$work/reports" | grep -vc ':0$')" = 0

# the rest is the same on every ansible-core
ansible --version > "$work/core"
if grep -q 'core 2\.16' "$work/core"; then
    exit 0
fi

# a repository that cannot be used is a failure, although the rescue itself never is one here; the report comes first
rm -rf "$work/reports"
if rescue -e rescue_repository_password=unlucky-4712 > "$work/wrong.log" 2>&1; then
    exit 1
fi
grep -q 'wrong password' "$work/wrong.log"
grep -Eq '^dead1 .* failed=1 ' "$work/wrong.log"
test -s "$work/reports/rescue-report.html"

# nothing has changed: nothing is written, signed, sent or called
rescue > "$work/second.log" 2>&1 || { cat "$work/second.log"; exit 1; }
grep -q '0 of 2 bundles were sent, 2 were there already' "$work/second.log"
grep -Eq '^dead1 .* changed=0 ' "$work/second.log"
test "$(wc -l < "$work/hook")" = 2

# ... and the module verifies who signed
ansible localhost -m lifeboat.docker.docker_bundle_info -a "path=$work/back allowed_signers=$work/allowed" > "$work/info.log"
grep -q '"signer": "ann@example.org"' "$work/info.log"
grep -q '"status": "verified"' "$work/info.log"
grep -q '"host": "dead1"' "$work/info.log"
