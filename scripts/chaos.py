"""Faults in a random order while numbered events go both ways through the bridge.

To be run as `scripts/with-broker scripts/chaos`. Each fault has a round of its own: events go in at a steady rate in both
directions, the fault strikes while they do, and the round ends when the mark has arrived at both ends. The order of
the faults comes from the seed. Faults that take a queue or an exchange away strike between two rounds, as what
is published where no queue is bound is lost before the bridge could have it; the round starts when the bridge has repaired it.
"""
import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time

import pika

from load import PREFETCH, ToLegacy, ToModern, Run, resumption, table
from processes import Failed, bridge
from proxy import DOWN, UP, Proxy

ROUND = 2.0  # seconds in which the events of a round go in
SILENCE = 21.0  # within which a silent connection has to be noticed
REPAIR = 30.0  # within which a queue or exchange has to be back


def control(*arguments):
    return subprocess.run(['rabbitmqctl', '--quiet', *arguments], check=True, capture_output=True, encoding='utf-8').stdout


def in_round(base, kind):
    """A direction whose numbers go on from round to round, so that late events of an earlier one are known."""
    class InRound(kind):
        def body(self, number, attempt):
            return super().body(base + number, attempt)

        def number(self, body):
            number, attempt = super().number(body)
            return number - base, attempt
    return InRound()


class Site:
    """The bridge, the proxy it goes through and the broker."""

    def __init__(self, binary):
        self.binary = binary
        self.proxy = Proxy(int(os.environ['BROKER_PORT']))
        self.noticed = []
        self.stops = []
        self.start()

    def start(self):
        self.daemon = bridge(self.binary, ['--prefetch-count', str(PREFETCH), '--amqp-url',
                                           f'amqp://guest:guest@127.0.0.1:{self.proxy.port}/%2f'])

    # Faults during a round.

    def kill_bridge(self):
        self.daemon.process.kill()
        self.daemon.stop()
        self.start()

    def stop_bridge(self):
        begun = time.monotonic()
        status = self.daemon.stop()
        self.stops.append(time.monotonic() - begun)
        if status:
            raise Failed(f'the bridge ended with exit code {status}')
        self.start()

    def kill_broker(self):
        with open(os.path.join(os.environ['BROKER_DIR'], 'node-1.pid')) as pid:
            os.kill(int(pid.read()), signal.SIGKILL)
        subprocess.run(['start-node'], check=True, stdout=subprocess.DEVNULL)

    def stop_broker(self):
        control('stop_app')
        control('start_app')

    def close_connections(self):
        control('close_all_connections', 'chaos')

    def reset(self):
        self.proxy.reset()

    def cut(self, *ways):
        opened, begun = self.proxy.opened, time.monotonic()
        self.proxy.cut(*ways)
        if not self.proxy.wait_for_another(opened, 60):
            raise Failed(f"nothing passed {' and '.join(ways)}, and the bridge made no new connection in 60 s")
        self.noticed.append(time.monotonic() - begun)

    def memory_alarm(self):
        control('set_vm_memory_high_watermark', '0.00001')
        control('set_vm_memory_high_watermark', '0.4')

    def disk_alarm(self):
        control('set_disk_free_limit', '1000000GB')
        control('set_disk_free_limit', '1MB')

    def full_queue(self):
        control('set_policy', '--apply-to', 'queues', 'chaos', '^cti-bridge-load', '{"max-length":0,"overflow":"reject-publish"}')
        control('clear_policy', 'chaos')

    # Faults between two rounds; the bridge has to repair what they took.

    def delete_queue(self, direction):
        source = direction.exchange
        before = self.bound(source)
        for queue in {queue for queue, _ in before}:
            control('delete_queue', queue)
        return before

    def delete_exchange(self, direction):
        before = self.bound(direction.exchange)
        with pika.BlockingConnection(pika.URLParameters(os.environ['CTI_BRIDGE_AMQP_URL'])) as connection:
            connection.channel().exchange_delete(direction.exchange)
        return before

    def bound(self, exchange):
        lines = control('--no-table-headers', 'list_bindings', 'source_name', 'destination_name', 'routing_key').splitlines()
        return {tuple(line.split('\t')[1:]) for line in lines if line.split('\t')[0] == exchange}

    def wait_until_repaired(self, exchange, before):
        end = time.monotonic() + 2 * REPAIR
        while not before <= self.bound(exchange):
            if time.monotonic() > end:
                raise Failed(f'{exchange}: the bindings are not back after {2 * REPAIR:g} s')


STRIKES = {
    'bridge SIGKILL': Site.kill_bridge,
    'bridge SIGTERM': Site.stop_bridge,
    'broker SIGKILL': Site.kill_broker,
    'broker stop': Site.stop_broker,
    'connections closed': Site.close_connections,
    'TCP reset': Site.reset,
    'stall': lambda site: site.cut(UP, DOWN),
    'cut client to server': lambda site: site.cut(UP),
    'cut server to client': lambda site: site.cut(DOWN),
    'memory alarm': Site.memory_alarm,
    'disk alarm': Site.disk_alarm,
    'queue full': Site.full_queue,
}
REMOVALS = {'intake queue deleted': Site.delete_queue, 'exchange deleted': Site.delete_exchange}
KINDS = [*STRIKES, *REMOVALS]
SLOW = {'stall', 'cut client to server', 'cut server to client'}  # each takes two heartbeats to notice


def drawn(number, chance, kinds):
    """Each kind once, then at random, the slow ones less often; in a random order."""
    faults = kinds[:number] if number <= len(kinds) else list(kinds)
    weights = [1 if kind in SLOW else 5 for kind in kinds]
    faults += chance.choices(kinds, weights, k=number - len(faults))
    chance.shuffle(faults)
    return faults


def strike(site, kind, base, count, chance):
    """One fault and its round: the rows of both directions."""
    directions = [in_round(base, ToLegacy), in_round(base, ToModern)]
    recovery = None
    if kind in REMOVALS:
        broken = chance.choice(directions)
        before = REMOVALS[kind](site, broken)
        begun = time.monotonic()
        site.wait_until_repaired(broken.exchange, before)
        recovery = time.monotonic() - begun
    at = int(count * chance.uniform(0.1, 0.5))
    runs = [Run(direction, count, 1000, count / ROUND) for direction in directions]
    for run in runs:
        run.start()
    if kind in STRIKES:
        while any(run.received.value < at for run in runs):
            if not all(run.receiver.is_alive() for run in runs):
                raise Failed('the receiver ended before the fault')
            time.sleep(0.01)
        begun = time.monotonic()
        STRIKES[kind](site)
        back = time.monotonic()
    rows = []
    for run in runs:
        sent, got = run.finish()
        if got['wrong']:
            raise Failed(f"{run.direction.name}: not the expected form: {got['wrong']}")
        resumed = resumption(got['arrivals'], begun) if kind in STRIKES else None
        rows.append({'fault': kind, 'direction': run.direction.name, 'events': count + 1, 'lost': got['lost'], 'doubled': got['doubled'],
                     'disordered': got['disordered'], 'sent_twice': got['sent_twice'], 'redelivered': got['redelivered'],
                     'recovery': recovery if recovery is not None else max(0.0, resumed - back) if resumed else 0.0})
    return rows


def wait_until_empty():
    """What is left in which queues, at last: the counts of quorum queues come seconds late."""
    end = time.monotonic() + 15
    while True:
        lines = control('--no-table-headers', 'list_queues', 'name', 'messages').splitlines()
        left = {name: int(messages) for name, messages in (line.split('\t') for line in lines) if messages != '0'}
        if not left or time.monotonic() > end:
            return left


def percentile(values, part):
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * part))], 2) if ordered else None


def summary(kind, rows):
    times = [row['recovery'] for row in rows]
    return {'fault': kind, 'times': len(rows) // 2, **{what: sum(row[what] for row in rows) for what in ('events', 'lost', 'doubled')},
            'most doubled': max((row['doubled'] for row in rows), default=0), 'disordered': sum(row['disordered'] for row in rows),
            'recovery p50': percentile(times, 0.5), 'p99': percentile(times, 0.99), 'max': percentile(times, 1)}


def main():
    parser = argparse.ArgumentParser(prog='chaos', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--faults', type=int, help='how many (default: each kind once)')
    parser.add_argument('--events', type=int, default=20_000, help='in all, both directions together (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=None, help='the same faults in the same order again')
    parser.add_argument('--kinds', help='only these, with commas between: ' + ', '.join(KINDS))
    parser.add_argument('--without-slow', action='store_true', help='no stalls and cuts, which take 20 s each to notice')
    parser.add_argument('--report', metavar='FILE', help='write the figures as JSON')
    arguments = parser.parse_args()
    if 'BROKER_NODE' not in os.environ:
        parser.error('chaos only breaks a broker of scripts/with-broker; run it as scripts/with-broker scripts/chaos')
    kinds = arguments.kinds.split(',') if arguments.kinds else [kind for kind in KINDS if not (arguments.without_slow and kind in SLOW)]
    if unknown := set(kinds) - set(KINDS):
        parser.error(f"unknown kinds: {', '.join(sorted(unknown))}")
    seed = arguments.seed if arguments.seed is not None else random.randrange(1 << 32)
    print(f'seed {seed}', flush=True)
    chance = random.Random(seed)
    faults = drawn(arguments.faults or len(kinds), chance, kinds)
    count = max(100, arguments.events // len(faults) // 2)

    site, rows, failures = Site(os.environ['CTI_BRIDGE']), [], []
    try:
        for number, kind in enumerate(faults):
            begun = time.monotonic()
            found = strike(site, kind, number * (count + 1), count, chance)
            rows += found
            print(f'{number + 1:4} {kind:22} {time.monotonic() - begun:5.1f} s  '
                  + '  '.join(f"{row['direction']}: lost {row['lost']}, doubled {row['doubled']}, disordered {row['disordered']}, "
                              f"recovery {row['recovery']:.2f} s" for row in found), flush=True)
            for row in found:
                for what in ('lost', 'disordered'):
                    if row[what]:
                        failures.append(f"fault {number + 1}, {kind}, {row['direction']}: {row[what]} {what}")
                if row['doubled'] > PREFETCH:
                    failures.append(f"fault {number + 1}, {kind}, {row['direction']}: {row['doubled']} doubled, more than were in flight")
    except (Failed, subprocess.CalledProcessError) as problem:
        failures.append(f'fault {len(rows) // 2 + 1}: {problem} {getattr(problem, "stderr", None) or ""}')
    if not failures:
        wait_until_empty()
    if site.daemon.stop():
        failures.append('the bridge did not end well')
    left = wait_until_empty()
    failures += [f'queue {name}: {messages} left' for name, messages in left.items()]
    if site.noticed and max(site.noticed) > SILENCE:
        failures.append(f'a silent connection was noticed after {max(site.noticed):.1f} s, later than {SILENCE:g}')

    if rows:
        print()
        table([summary(kind, [row for row in rows if row['fault'] == kind]) for kind in KINDS if any(row['fault'] == kind for row in rows)]
              + [summary('all', rows)])
    if site.noticed:
        print(f'\nsilence noticed after {min(site.noticed):.1f} to {max(site.noticed):.1f} s')
    if site.stops:
        print(f'SIGTERM to the end: {max(site.stops):.2f} s at most')
    print(f"queues at the end: {left or 'empty'}")
    for failure in failures:
        print(failure)
    if failures:
        print('the last lines of the bridge:', *site.daemon.lines['stderr'][-15:], sep='\n')
    if arguments.report:
        with open(arguments.report, 'w') as report:
            json.dump({'seed': seed, 'faults': len(rows) // 2, 'prefetch': PREFETCH, 'all': summary('all', rows),
                       'kinds': [summary(kind, [row for row in rows if row['fault'] == kind]) for kind in kinds],
                       'silence_noticed': site.noticed, 'sigterm_seconds': site.stops, 'left_in_queues': left, 'failures': failures}, report, indent=2)
    print('\n' + ('FAILED' if failures else 'Nothing lost, nothing out of order.') + f' Again: --seed {seed}')
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main())
