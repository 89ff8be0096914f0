#!/usr/bin/env bash
# Seven hosts, each in another state, are audited by the playbook; check.py looks at what it wrote.
set -eux -o pipefail

collection="${ANSIBLE_COLLECTIONS_PATH%%:*}/ansible_collections/lifeboat/docker"
work="${OUTPUT_DIR:-$(mktemp -d)}/audit"
rm -rf "$work"
mkdir -p "$work/fleet"
export PYTHONDONTWRITEBYTECODE=1 ANSIBLE_LOCALHOST_WARNING=false ANSIBLE_HOST_KEY_CHECKING=false

# a host that does not answer is asked by ssh; where that is not installed, this ends as it would
if ! command -v ssh; then
    mkdir -p "$work/bin"
    printf '#!/bin/sh\necho "ssh: connect to host 127.0.0.1 port 1: Connection refused" >&2\nexit 255\n' > "$work/bin/ssh"
    chmod 755 "$work/bin/ssh"
    export PATH="$work/bin:$PATH"
fi

python fleet.py "$collection" "$work/fleet" > "$work/fleet.log" &
fleet=$!
# the folder of node_exporter's textfile collector, on another file system if there is one
collector=$(mktemp -d -p /dev/shm || mktemp -d)
trap 'kill "$fleet"; rm -rf "$collector"' EXIT
for _ in $(seq 300); do
    grep -q ready "$work/fleet.log" && break
    kill -0 "$fleet"
    sleep 0.2
done
grep ready "$work/fleet.log"

audit() {
    ansible-playbook -i "$work/fleet/inventory" lifeboat.docker.audit "$@"
}

# check mode writes nothing
audit -e "audit_report_dir=$work/none" --limit dead,localhost --check --diff | tee "$work/check.log"
grep -q 'Check mode: nothing of this run is kept' "$work/check.log"
test ! -e "$work/none"

# the whole fleet; what is read stays as it is
(cd "$work" && find ./fleet -type f -size -900M -exec sha256sum {} + | sort -k 2) > "$OUTPUT_DIR/before"
audit -e "audit_report_dir=$work/reports" -e "audit_prom_path=$collector/lifeboat.prom" -e @vars.yml | tee "$work/first.log"
grep -E 'localhost .*failed=0' "$work/first.log"
(cd "$work" && find ./fleet -type f -size -900M -exec sha256sum {} + | sort -k 2) > "$OUTPUT_DIR/after"
diff "$OUTPUT_DIR/before" "$OUTPUT_DIR/after"
python check.py "$work" first "$collection"
cmp "$collector/lifeboat.prom" "$work/reports/lifeboat.prom"
test "$(ls -A "$collector")" = lifeboat.prom
test "$(stat -c %a "$collector/lifeboat.prom")" = 644
if command -v promtool; then
    promtool check metrics < "$work/reports/lifeboat.prom"
    promtool check rules "$collection/docs/examples/prometheus-alerts.yml"
    cp "$collection/docs/examples/prometheus-alerts.yml" alerts_test.yml "$work/"
    (cd "$work" && promtool test rules alerts_test.yml)
else
    echo 'NOT RUN: promtool on metrics and alert rules, which the package prometheus brings'
fi

# findings decide the exit status only when asked, and after the reports are written
rm "$work/reports/report.html"
if audit -e "audit_report_dir=$work/reports" -e audit_fail_on=critical --limit dead,localhost > "$work/second.log"; then
    echo 'audit_fail_on=critical did not fail'
    exit 1
fi
grep 'critical and' "$work/second.log"
test -s "$work/reports/report.html"
# ... and the other hosts are still in it, as those of another slice of the job would be
python check.py "$work" merged "$collection"

# a rule that fails on the facts of one host: that host is audited nevertheless, the rule is named, the job fails in the end
if audit -e "audit_report_dir=$work/ruled" -e @accepted.yml -e @failing.yml --limit dead,healthy,localhost > "$work/ruled.log"; then
    echo 'a rule that failed on one host did not fail the job'
    exit 1
fi
grep 'Rules that failed on the facts of a host: 1' "$work/ruled.log"
test "$(grep -c 'failed=1' "$work/ruled.log")" = 1
python check.py "$work" ruled "$collection"

# with nothing critical, warnings decide only when asked; of a host of that run, only the report is made
mkdir -p "$work/warned/hosts"
cp -r "$work/ruled/hosts/healthy" "$work/warned/hosts/"
again() {
    ansible-playbook report.yml -e "audit_report_dir=$work/warned" "$@"
}
again -e audit_fail_on=critical
if again -e audit_fail_on=warning > "$work/warned.log"; then
    echo 'audit_fail_on=warning did not fail'
    exit 1
fi
grep -E '0 critical and [1-9][0-9]* warning findings \(audit_fail_on is warning\)' "$work/warned.log"

# no host answers: the report is made nevertheless, here without localhost; by itself that is no failure, see the whole fleet above
if audit -e "audit_report_dir=$work/gone" -e audit_fail_on_unaudited=true --limit gone; then
    echo 'audit_fail_on_unaudited did not fail'
    exit 1
fi
python check.py "$work" gone "$collection"

# a rule that does not compile is named
if audit -e "audit_report_dir=$work/bad" -e '{"audit_rules": [{"code": "MY_BAD_RULE", "severity": "info", "query": "a[", "message": "x"}]}' \
        --limit nodocker > "$work/bad.log" 2>&1; then
    echo 'a bad rule did not fail'
    exit 1
fi
grep 'MY_BAD_RULE' "$work/bad.log"

# the page in a real browser
if command -v chromedriver; then
    python browser.py "$work/reports/report.html"
    # ... and that of a large fleet
    python large.py "$collection" 1000 "$work/large"
    python browser.py "$work/large/report.html"
else
    echo 'NOT RUN: the browser test, which needs chromium and chromium-driver'
fi
