"""Our time beside that of what an administrator would type instead, in one table.

    bench.py [--list] [PATTERN ...]     rows whose name contains one of the patterns; all without

Every row runs our work and its references in turn, in this very call, LIFEBOAT_BENCH_RUNS times (5) after one round
that is not counted (so: warm caches, unless the row says cold); the table shows medians. Our work runs in a process of
its own, which measures itself: its seconds begin when Python and the collection are loaded, as they are once per host
in a module, and that start is a row of its own. References are whole command lines. Nothing is synced to the disk on
either side. The column "cpu" is the ratio of processor time of both sides, with all their children: what to look at
on a machine that has other things to do, where the other ratio says who got how much of it.

Environment: LIFEBOAT_BENCH_RUNS; LIFEBOAT_BENCH_DIR (a folder for 12 GB of test data, kept for the next time;
otherwise a temporary one); LIFEBOAT_BENCH_SCALE (0.01 to try the rows themselves); LIFEBOAT_BENCH_COLD=1 (as root: also
the rows that empty the kernel's caches, which everybody on the machine feels).

A row is a function in one of the rows_*.py files beside this one, see lab.py. Exit status 1 if a target is missed.
"""
import argparse
import importlib
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import lab  # noqa: E402

ENVIRONMENT = dict(os.environ, LC_ALL='C', PYTHONHASHSEED='0')
ENVIRONMENT.pop('PYTHONDONTWRITEBYTECODE', None)       # make sets it; compiling anew would be measured


def load_rows():
    for name in sorted(os.listdir(HERE)):
        if name.startswith('rows_') and name.endswith('.py'):
            importlib.import_module(name[:-3])


class Cost(NamedTuple):
    """Of one run, or the medians of many."""
    seconds: float
    cpu: float
    peak_kib: int = 0
    start: float = 0.0


def cpu_seconds(*whose):
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, whose))


def run_work(name, arguments):
    """Cost of our work in a process of its own."""
    started = time.perf_counter()
    out = subprocess.run([sys.executable, os.path.abspath(__file__), '--work', name, json.dumps(arguments)],
                         env=ENVIRONMENT, stdout=subprocess.PIPE, check=True).stdout
    cost = Cost(*json.loads(out.decode()))
    return cost._replace(start=time.perf_counter() - started - cost.seconds)


def do_work(name, arguments):
    """The other side of run_work."""
    work = lab.WORKS[name](**json.loads(arguments))
    both = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    started, used = time.perf_counter(), cpu_seconds(*both)
    work()
    seconds, used = time.perf_counter() - started, cpu_seconds(*both) - used
    with open('/proc/self/status') as status:
        peak = [int(line.split()[1]) for line in status if line.startswith('VmHWM')][0]
    sys.stdout.write(json.dumps([seconds, used, peak]))


def run_reference(command):
    started, used = time.perf_counter(), cpu_seconds(resource.RUSAGE_CHILDREN)
    subprocess.run(['sh', '-c', 'set -e; ' + command], env=ENVIRONMENT, stdout=subprocess.DEVNULL, check=True)
    return Cost(time.perf_counter() - started, cpu_seconds(resource.RUSAGE_CHILDREN) - used)


def measure(row, runs):
    """Median Cost of ours, and of each of the row's references."""
    found = [[] for dummy in range(1 + len(row.references))]
    for turn in range(runs + 1):
        for number in range(len(found)):
            if row.before is not None:
                row.before()
            if number:
                reference = row.references[number - 1]
                cost = run_reference(reference.command)
                cost = cost._replace(seconds=cost.seconds * reference.times, cpu=cost.cpu * reference.times)
            else:
                cost = run_work(row.work, row.arguments)
                if row.start:
                    cost = cost._replace(seconds=cost.seconds + cost.start)
            row.clean()
            if turn or not runs:
                found[number].append(cost)
    return [Cost(*map(statistics.median, zip(*costs)))._replace(peak_kib=max(cost.peak_kib for cost in costs))
            for costs in found]


HEAD = '%-52s %9s  %-46s %9s %6s %6s %5s %7s' % (
    'work', 'ours', 'reference', 'theirs', 'ratio', 'target', 'cpu', 'peak')


def line(label, ours, reference, theirs, target):
    """(text, whether it is as it should be)."""
    ratio = ours.seconds / theirs.seconds
    good = (target is None or ratio <= target) and ours.peak_kib <= lab.PEAK_KIB
    return '%-52s %7.3f s  %-46s %7.3f s %6.2f %6s %5.2f %3d MiB%s' % (
        label[:52], ours.seconds, reference[:46], theirs.seconds, ratio, '%.2f' % target if target else '',
        ours.cpu / theirs.cpu if theirs.cpu else 0, ours.peak_kib // 1024, '' if good else '  MISSED'), good


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])  # pylint: disable=use-maxsplit-arg
    parser.add_argument('--list', action='store_true')
    parser.add_argument('--work', nargs=2, help=argparse.SUPPRESS)
    parser.add_argument('patterns', nargs='*')
    options = parser.parse_args()
    load_rows()
    if options.work:
        do_work(*options.work)
        return 0
    chosen = [name for name in lab.ROWS if not options.patterns or any(part in name for part in options.patterns)]
    if options.list or not chosen:
        sys.stdout.write('\n'.join(lab.ROWS) + '\n')
        return 0 if options.list else 2
    runs = int(os.environ.get('LIFEBOAT_BENCH_RUNS', '5'))
    folder = os.environ.get('LIFEBOAT_BENCH_DIR')
    kept = folder is not None
    folder = os.path.abspath(folder) if kept else tempfile.mkdtemp(prefix='lifeboat-bench-')
    os.makedirs(folder, exist_ok=True)
    here = lab.Lab(folder, float(os.environ.get('LIFEBOAT_BENCH_SCALE', '1')))
    all_good = True
    starts = []
    print('medians of %d, Python %s, %d CPUs, load %.1f, scale %g' % (
        runs, sys.version.split()[0], len(os.sched_getaffinity(0)), os.getloadavg()[0], here.scale))
    print(HEAD, flush=True)
    try:
        for name in chosen:
            first = None                # of a row of several sizes
            for row in lab.ROWS[name](here):
                costs = measure(row, runs)
                ours = costs[0]
                starts.append(ours.start)
                told = [line(row.label, ours, reference.label, cost, reference.target)
                        for reference, cost in zip(row.references, costs[1:])]
                if row.cpu is not None:
                    told.append(('%-52s %7.3f s  of processor time, %.2f allowed%s' % (
                        row.label[:52], ours.cpu, row.cpu, '' if ours.cpu <= row.cpu else '  MISSED'), ours.cpu <= row.cpu))
                if row.units:
                    first = first or (ours, row.units)
                    times = row.units / first[1]
                    told.append(line(row.label, ours, '%g times the first of these rows' % times,
                                     Cost(first[0].seconds * times, first[0].cpu * times), row.linear))
                for text, good in told:
                    print(text, flush=True)
                    all_good = all_good and good
    finally:
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)
    if starts:
        print('%-52s %7.3f s  once per host, not in the rows above' % (
            'start of Python and import of the collection', statistics.median(starts)))
    return 0 if all_good else 1


if __name__ == '__main__':
    sys.exit(main())
