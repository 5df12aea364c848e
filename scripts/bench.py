"""This bridge beside what a site could take instead of it, measured end to end in interleaved rounds.

To be run as `scripts/bench`. Saturated: the intake queue is filled while the candidate is off; then it starts, and the
time counts from the tenth part of the events to the last. A binding has no queue of its own, so there the events are
published while it is measured, as fast as they are confirmed. At a rate: the delay counts from when an event was meant
to be sent, whether the load kept up or not. Ratios are of the figures of the same round.
"""
import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time

import bench_runs
from bench_candidates import PREFETCH, ROOT, candidates
from bench_plot import plot
from bench_report import GROUPS, faults_of, group, put_into, readme, show_all, summary
from processes import Failed

DRAWING = 'tests/benches/performance.svg'


def machine():
    with open('/proc/cpuinfo') as cpuinfo:
        model = next((line.split(':', 1)[1].strip() for line in cpuinfo if line.startswith('model name')), platform.machine())

    def said(*command):
        return subprocess.run(command, capture_output=True, encoding='utf-8').stdout.strip()

    return {'cpu': model, 'cores': os.cpu_count(), 'ram_gib': os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1024 ** 3,
            'kernel': platform.release(), 'rabbitmq': said('rabbitmqctl', '--quiet', 'version'),
            'erlang': said('rabbitmqctl', '--quiet', 'eval', 'io:format(erlang:system_info(otp_release)).').removesuffix('ok').strip(),
            'load': os.getloadavg()[0], 'binary_mib': os.path.getsize(os.environ['CTI_BRIDGE']) / 1024 ** 2}


class Plan:
    """What is to be measured in each round."""

    def __init__(self, arguments, chosen, directory):
        self.arguments, self.chosen = arguments, chosen
        self.rates = [int(rate) for rate in arguments.rates.split(',') if rate]
        self.file = None
        if arguments.lines and arguments.rounds and not arguments.only:
            self.file = bench_runs.lines(directory, arguments.lines)
            bench_runs.check_the_same(self.file)

    def steps(self, number):
        """The mode, the candidate and the run of each step of this round."""
        # All of a mode one after the other, as a machine changes within minutes; every second round backwards, so that none
        # always follows the same.
        chosen = self.chosen if number % 2 == 0 else self.chosen[::-1]
        count, seconds = self.arguments.count, self.arguments.seconds
        for one in chosen if count else []:
            yield 'saturated', one.name, lambda one=one: bench_runs.saturated(one, count)
        for rate in self.rates:
            for one in chosen:
                if one.rated:
                    yield f'{rate:,} events/s', one.name, lambda one=one, rate=rate: bench_runs.live(one, int(rate * seconds), rate)
        if self.arguments.only:
            return
        yield 'start', None, bench_runs.starts
        if self.file:
            yield 'translate', None, lambda: bench_runs.offline(self.file, self.arguments.lines)

    def estimate(self):
        """Seconds for a round on a machine that does some 17,000 events/s."""
        saturated = sum(2 + self.arguments.count * (one.share / 30_000 + 1 / 17_000) for one in self.chosen if self.arguments.count)
        rated = sum(one.rated for one in self.chosen) * len(self.rates) * (self.arguments.seconds + 1)
        return saturated + rated + (0 if self.arguments.only else 4 + self.arguments.lines / 40_000)


def tell(number, mode, name, figures, seconds):
    if 'cpu_broker' in figures:
        said = (f"{figures['rate']:.0f}/s, CPU {figures['cpu_candidate']:.2f} + {figures['cpu_broker']:.2f}, "
                f"p50 {figures['p50_us']:.0f} µs, p99 {figures['p99_us']:.0f} µs")
    else:
        said = ', '.join(f'{key} {value:.1f}' for key, value in figures.items())
    print(f'round {number}: {mode}: {name}: {said} ({seconds:.0f} s)', file=sys.stderr)


def attempt(name, run):
    """What a run came to; what is not ours gets a second chance."""
    try:
        return run()
    except Failed as problem:
        if not name or name.startswith('bridge'):
            raise
        print(f'once more, as {problem}', file=sys.stderr)
        return run()


def measure(plan, rounds, save):
    """Adds complete rounds. What a candidate failed with, if one did: the rounds before are worth keeping."""
    for number in range(plan.arguments.rounds):
        one, began = {}, time.monotonic()
        for mode, name, run in plan.steps(number):
            step = time.monotonic()
            try:
                result = attempt(name, run)
            except Failed as problem:
                return str(problem)
            for which, figures in ({name: result} if name else result).items():
                one.setdefault(mode, {})[which] = figures
                tell(number + 1, mode, which, figures, time.monotonic() - step)
        order = sorted((candidate.name for candidate in plan.chosen), key=lambda name: GROUPS.index(group(name)))
        rounds.append({mode: {name: of_mode[name] for name in [*order, *of_mode] if name in of_mode} for mode, of_mode in one.items()})
        save()
        left = (time.monotonic() - began) * (plan.arguments.rounds - number - 1) / 60
        print(f'round {number + 1} of {plan.arguments.rounds} took {time.monotonic() - began:.0f} s; {left:.1f} minutes left', file=sys.stderr)
    return None


def backlog(chosen, count):
    ours = next((one for one in chosen if one.name == 'bridge'), None)
    if not count or not ours:
        return None
    began = time.monotonic()
    result = {'count': count} | bench_runs.backlog(ours, count)
    tell('-', 'backlog', ours.name, result, time.monotonic() - began)
    return result


def arguments_of(command_line):
    parser = argparse.ArgumentParser(prog='bench', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--rounds', type=int, default=6, help='an even number, as every second one goes backwards (default: %(default)s)')
    parser.add_argument('--count', type=int, default=80_000, help='events per candidate and round; 0 for none (default: %(default)s)')
    parser.add_argument('--rates', metavar='N,…', default='1000,5000', help='events per second besides saturation; empty for none (default: %(default)s)')
    parser.add_argument('--seconds', type=float, default=6, help='for each rate (default: %(default)s)')
    parser.add_argument('--lines', type=int, default=200_000, help='events for `translate` and jq; 0 for none (default: %(default)s)')
    parser.add_argument('--backlog', type=int, default=0, metavar='N', help='after the rounds, so many events at once, e.g. 1000000')
    parser.add_argument('--only', metavar='NAME,…', help='only candidates whose names contain one of these, and nothing else')
    parser.add_argument('--quick', action='store_true', help='one round of 20,000 events: whether all works, not how fast')
    parser.add_argument('--json', metavar='FILE', help='write all figures of all rounds there')
    parser.add_argument('--plot', metavar='FILE', help='draw the medians there, as SVG')
    parser.add_argument('--readme', action='store_true', help=f'put the figures into the README, and the drawing into {DRAWING}')
    parser.add_argument('--from', metavar='FILE', dest='earlier', help='measure nothing but the backlog: take the rounds of this JSON file')
    arguments = parser.parse_args(command_line)
    if arguments.quick:
        arguments.rounds, arguments.count, arguments.seconds, arguments.lines = 1, 20_000, 2, 20_000
    if arguments.earlier:
        arguments.rounds = 0
    if (arguments.rounds or arguments.backlog) and 'BENCH_PEERS' not in os.environ:
        parser.error('run it as scripts/bench')
    return arguments


def write(path, text):
    with open(path, 'w', encoding='utf-8') as file:
        file.write(text)


def dumped(document):
    """JSON with a line for each round."""
    rounds = ',\n'.join(json.dumps(one) for one in document['rounds'])
    return json.dumps(document | {'rounds': []}, indent=1).replace('"rounds": []', f'"rounds": [\n{rounds}\n ]') + '\n'


def main():
    arguments = arguments_of(sys.argv[1:])
    if arguments.earlier:
        with open(arguments.earlier, encoding='utf-8') as file:
            document = json.load(file)
    else:
        document = {'command': shlex.join(['scripts/bench', *sys.argv[1:]]), 'machine': machine(), 'count': arguments.count,
                    'prefetch': PREFETCH, 'rounds': [], 'backlog': None}

    def save():
        if arguments.json:
            write(arguments.json, dumped(document))

    problem = None
    with tempfile.TemporaryDirectory() as directory:
        if arguments.rounds or arguments.backlog:
            wanted = arguments.only.split(',') if arguments.only else ['']
            chosen = [one for one in candidates() if any(part.strip() in one.name for part in wanted)]
            if not chosen:
                raise SystemExit(f"bench: no candidate's name contains one of these: {arguments.only}")
            plan = Plan(arguments, chosen, directory)
            minutes = (arguments.rounds * plan.estimate() + arguments.backlog / 10_000) / 60
            print(f'this takes some {minutes:.0f} minutes', file=sys.stderr)
            problem = measure(plan, document['rounds'], save)
            if not problem:
                try:
                    document['backlog'] = backlog(chosen, arguments.backlog) or document['backlog']
                except Failed as failed:
                    problem = str(failed)
    save()
    made = summary(document['rounds'])
    if document['rounds'] or document['backlog']:
        show_all(document, made)
    if made and arguments.plot:
        write(arguments.plot, plot(made))
    if made and arguments.readme:
        with open(os.path.join(ROOT, 'README.md'), encoding='utf-8') as file:
            text = put_into(file.read(), readme(document, made, DRAWING))
        write(os.path.join(ROOT, 'README.md'), text)
        write(os.path.join(ROOT, DRAWING), plot(made))
    if problem:
        print(problem, file=sys.stderr)
    return 1 if problem or faults_of(document)[1] else 0


if __name__ == '__main__':
    sys.exit(main())
