"""Faults in a random order while numbered events go both ways through the bridge at a steady rate.

To be run as `scripts/with-broker scripts/chaos`. Each fault must show that it struck. Its round ends when an event that was
sent after it, and all before that, have come through in both directions. The order of the faults comes from the seed.
The report is written anew after each fault, so that a run that is cut off leaves what it found.
"""
import argparse
import collections
import json
import math
import os
import random
import signal
import sys
import time
import traceback

from faults import GRACE, REPAIR, SILENCE, SLOW, SPOILS, STRIKES, UNHEARD, NotStruck, Site, control
from load import PREFETCH, ToLegacy, ToModern, table
from processes import Failed
from stream import Stream

RECOVERY = 6.0  # seconds within which 99 of 100 times events have to come again
SETTLED = 5.0  # seconds: a quorum queue that is younger than that may not come back from a SIGKILL (RabbitMQ 3.10)
LIMITS = {'sigterm_seconds': GRACE, 'noticed_seconds': SILENCE, 'broker_noticed_seconds': UNHEARD, 'repaired_seconds': REPAIR}
KINDS = [*STRIKES]


class CutOff(BaseException):
    """A signal says that it is enough."""


def drawn(number, chance, kinds):
    """Each kind once, then at random, the slow ones less often; in a random order."""
    faults = chance.sample(kinds, number) if number < len(kinds) else list(kinds)
    weights = [1 if kind in SLOW else 5 for kind in kinds]
    faults += chance.choices(kinds, weights, k=number - len(faults))
    chance.shuffle(faults)
    return faults


def strike(site, kind, due):
    """One fault and its round, once so many events are sent: what became of those."""
    streams = site.streams
    for stream in streams:
        stream.wait_until(lambda: stream.next() >= due, 'nothing is sent')
    if kind == 'broker SIGKILL':
        time.sleep(max(0.0, site.declared + SETTLED - time.monotonic()))
    for stream in streams:
        stream.resumed_after(time.monotonic())
    time.sleep(site.chance.uniform(0, 0.5))
    before = [stream.counts() for stream in streams]
    begun, row = time.monotonic(), {'fault': kind, 'directions': {stream.name: {} for stream in streams}}
    try:
        struck = {**STRIKES, **SPOILS}[kind](site)
        row |= {'proof': struck.proof, **struck.figures}
        back = struck.back
    except NotStruck as problem:
        row |= {'did_not_strike': str(problem), 'proof': f'did not strike: {problem}'}
        site.restore()
        restored = time.monotonic()

        def back(_):
            return restored
    for stream in streams:
        row['directions'][stream.name]['recovery'] = stream.resumed_after(back(stream.name)) - back(stream.name)
    for stream, start in zip(streams, before):
        end = stream.next()
        stream.wait_for(end)
        counts = collections.Counter(stream.counts())
        counts.subtract(start)
        row['directions'][stream.name] |= {'events': end - start['next'], 'lost': stream.lost(start['next'], end), **{
            what: counts[what] for what in ('doubled', 'disordered', 'sent_twice', 'redelivered', 'late', 'returned')}}
    return {**row, 'seconds': time.monotonic() - begun}


def failures_of(row, timed):
    """What of this must not be."""
    found = [row['proof']] if 'did_not_strike' in row else []
    for name, got in row['directions'].items():
        allowed = 0 if row['fault'] == 'bridge SIGTERM' else PREFETCH
        found += [f'{name}: {got[what]} {what}' for what in ('lost', 'disordered', 'returned') if got[what]]
        if got['doubled'] > allowed:
            found.append(f"{name}: {got['doubled']} doubled, more than {allowed}")
    found += [f"{what.replace('_', ' ')}: {row[what]:.1f}, more than {limit:g}" for what, limit in LIMITS.items() if timed and row.get(what, 0) > limit]
    return [f"fault {row['number']}, {row['fault']}: {what}" for what in found]


def percentile(values, part):
    """The nearest rank."""
    ordered = sorted(values)
    return round(ordered[math.ceil(len(ordered) * part) - 1], 2) if ordered else None


def summary(kind, rows):
    directions = [direction for row in rows for direction in row['directions'].values()]
    times = [direction['recovery'] for direction in directions]
    figures = {what: [row[what] for row in rows if what in row] for what in LIMITS}
    return {'fault': kind, 'times': len(rows), **{what: sum(direction[what] for direction in directions) for what in ('events', 'lost', 'doubled')},
            'most doubled': max((direction['doubled'] for direction in directions), default=0),
            'out of order': sum(direction['disordered'] for direction in directions),
            'recovery p50': percentile(times, 0.5), 'p99': percentile(times, 0.99), 'max': percentile(times, 1),
            **{what.replace('_seconds', ' max'): round(max(seconds), 2) if seconds else '' for what, seconds in figures.items()}}


class Report:
    """What the run has come to so far, kept in files as it goes."""

    def __init__(self, path, arguments, seed):
        self.path, self.began, self.events, self.left, self.ended = path, time.monotonic(), {}, None, False
        self.doing, self.self_test, self.timed = 'at the start', arguments.self_test, not arguments.untimed
        self.rows, self.failures = [], []
        self.run = {'seed': seed, 'arguments': vars(arguments), 'prefetch': PREFETCH, 'began': time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}

    def add(self, row):
        """What is wrong with it; that which was spoiled on purpose has to be."""
        self.rows.append(row)
        found = failures_of(row, self.timed)
        if self.self_test and row['fault'] in SPOILS:
            seen = len(found) == 1 and row['fault'].removeprefix('spoiled: ') in found[0]
            found = [] if seen else [f"fault {row['number']}, {row['fault']}: the test did not see that, but {found or 'nothing'}"]
        self.failures += found
        return found

    def kinds(self):
        rows = {kind: [row for row in self.rows if row['fault'] == kind] for kind in [*KINDS, *SPOILS]}
        real = [row for row in self.rows if row['fault'] in KINDS]
        return [summary(kind, found) for kind, found in [*rows.items(), ('all', real)] if found]

    def text(self):
        lines = table(self.kinds()) if self.rows else ['no fault yet']
        lines += ['', *(f"{name}: {counts['next']} events sent, {counts['lost']} lost, {counts['doubled']} doubled, {counts['disordered']} out of order"
                        for name, counts in self.events.items())]
        lines.append(f'queues at the end: {self.left or "empty"}' if self.left is not None else 'queues at the end: not known yet')
        lines += self.failures
        well = 'Nothing lost, nothing out of order' + (' but what was spoiled on purpose, and that was seen.' if self.self_test else '.')
        verdict = 'FAILED' if self.failures else well if self.ended else 'Not at its end.'
        return '\n'.join([*lines, '', f"{verdict} {len(self.rows)} faults in {time.monotonic() - self.began:.0f} s. Again: --seed {self.run['seed']}"])

    def write(self):
        if not self.path:
            return
        whole = {**self.run, 'ended': self.ended, 'seconds': time.monotonic() - self.began, 'faults': len(self.rows), 'directions': self.events,
                 'kinds': self.kinds(), 'queues_at_the_end': self.left, 'failures': self.failures, 'rounds': self.rows}
        for path, text in ((self.path, json.dumps(whole, indent=1)), (f'{self.path}.txt', self.text() + '\n')):
            with open(f'{path}.new', 'w') as file:
                file.write(text)
            os.replace(f'{path}.new', path)


def tell(row, number, of, streams):
    directions = '; '.join(f"{name}: lost {got['lost']}, doubled {got['doubled']}, out of order {got['disordered']}, again after {got['recovery']:.2f} s"
                           for name, got in row['directions'].items())
    print(f"{number:4}/{of} {row['fault']:21} {row['seconds']:5.1f} s  {directions}; {row['proof']}; {sum(stream.next() for stream in streams)} events", flush=True)


def queues():
    """How many messages are in which queue."""
    lines = control('--no-table-headers', 'list_queues', 'name', 'messages').splitlines()
    return {name: int(messages) for name, messages in (line.split('\t') for line in lines) if messages not in ('0', '')}


def wait_until_empty(patience=30):
    """What is left in which queues when nothing has moved for so long; the counts of quorum queues come seconds late."""
    left, end = queues(), time.monotonic() + patience
    while left and time.monotonic() < end:
        print(f'waiting for the queues to be empty: {left}', flush=True)
        time.sleep(1)
        if (now := queues()) != left:
            left, end = now, time.monotonic() + patience
    return left


def faults_of(arguments, site, report, faults):
    per_fault = arguments.events / 2 / max(1, len(faults))
    for stream in site.streams:
        stream.wait_until(lambda: stream.ledger.consuming.value, 'the receiver does not consume', 30)
        stream.go()
    for number, kind in enumerate(faults, 1):
        report.doing = f'fault {number}, {kind}'
        row = {'number': number, 'at': time.monotonic() - report.began, **strike(site, kind, int((number - 1) * per_fault))}
        tell(row, number, len(faults), site.streams)
        for failure in report.add(row):
            print(failure, flush=True)
        report.events = {stream.name: stream.totals() for stream in site.streams}
        report.write()
    report.doing = 'after the last fault'
    for stream in site.streams:
        stream.wait_until(lambda: stream.next() >= arguments.events / 2, 'nothing is sent')
    for stream in site.streams:
        stream.drain()


def end(site, streams, report, orderly):
    """Stops all, whatever was; what is left on the broker is looked at only where nothing is wrong."""
    report.events = {stream.name: stream.totals() for stream in streams}
    report.write()
    if orderly:
        wait_until_empty()
    if site and (status := site.daemon.stop(15 if orderly else 4)):
        report.failures.append(f'the bridge ended with exit code {status}')
    for stream in streams:
        stream.end()
    if orderly:
        report.left = wait_until_empty(10)
        report.failures += [f'queue {name}: {messages} left' for name, messages in report.left.items()]
        times = [direction['recovery'] for row in report.rows for direction in row['directions'].values()]
        if report.timed and times and percentile(times, 0.99) > RECOVERY:
            report.failures.append(f'recovery p99 {percentile(times, 0.99)} s, more than {RECOVERY:g}')
        report.ended = True


def cut_off(number, _frame):
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    raise CutOff(signal.Signals(number).name)


def parsed():
    parser = argparse.ArgumentParser(prog='chaos', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--faults', type=int, help='how many (default: each kind once)')
    parser.add_argument('--events', type=int, default=20_000, help='in all, both directions together, at least (default: %(default)s)')
    parser.add_argument('--rate', type=float, default=400, help='events per second, both directions together (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=None, help='the same faults in the same order again')
    parser.add_argument('--kinds', help='only these, with commas between: ' + ', '.join(KINDS)
                        + '; to see what the test itself sees, also ' + ', '.join(SPOILS))
    parser.add_argument('--without-slow', action='store_true', help='no stalls and cuts, which take 20 s each to notice')
    parser.add_argument('--untimed', action='store_true', help='tell times and do not judge them, for a machine that has other things to do')
    parser.add_argument('--self-test', action='store_true', help='at last, spoil something at the receivers, which the test has to see')
    parser.add_argument('--report', metavar='FILE', help='write the figures as JSON, and beside it FILE.txt, the table, and FILE.log, what the bridge said')
    arguments = parser.parse_args()
    if 'BROKER_NODE' not in os.environ:
        parser.error('chaos only breaks a broker of scripts/with-broker; run it as scripts/with-broker scripts/chaos')
    kinds = arguments.kinds.split(',') if arguments.kinds else [kind for kind in KINDS if not (arguments.without_slow and kind in SLOW)]
    if unknown := set(kinds) - {*KINDS, *SPOILS}:
        parser.error(f"unknown kinds: {', '.join(sorted(unknown))}")
    return arguments, kinds


def main():
    arguments, kinds = parsed()
    seed = arguments.seed if arguments.seed is not None else random.randrange(1 << 32)
    print(f'seed {seed}', flush=True)
    chance = random.Random(seed)
    faults = drawn(arguments.faults or len(kinds), chance, kinds) + list(SPOILS if arguments.self_test else [])
    report = Report(arguments.report, arguments, seed)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, cut_off)

    site, streams, orderly = None, [], False
    try:
        streams = [Stream(direction(), arguments.rate / 2) for direction in (ToLegacy, ToModern)]
        site = Site(os.environ['CTI_BRIDGE'], streams, chance)
        faults_of(arguments, site, report, faults)
        orderly = True
    except Failed as problem:
        report.failures.append(f'{report.doing}: {problem}')
    except CutOff as signalled:
        report.failures.append(f'{report.doing}: cut off by {signalled}')
    except Exception:
        report.failures.append(f'{report.doing}: {traceback.format_exc()}')
    try:
        end(site, streams, report, orderly)
    except (CutOff, Exception) as problem:
        report.failures.append(f'at the end: {problem!r}')
    report.write()
    if arguments.report and site:
        with open(f'{arguments.report}.log', 'w') as log:
            log.writelines(f'{line}\n' for daemon in site.daemons for line in daemon.lines['stderr'])
    print('\n' + report.text())
    if report.failures and site:
        print('the last lines of the bridge:', *site.daemon.lines['stderr'][-15:], sep='\n')
    return 1 if report.failures else 0


if __name__ == '__main__':
    sys.exit(main())
