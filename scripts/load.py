"""Numbered events through the bridge at full speed, checked at the other end.

To be run as `scripts/with-broker scripts/load`: needs CTI_BRIDGE_AMQP_URL, and for --restart the node's rabbitmqctl.
Each direction has one publisher (publisher confirms, a window of unconfirmed events) and one receiver (a quorum queue),
in processes of their own. The last event is a mark: when it arrives, all before it have arrived or are lost.
"""
import argparse
import array
import collections
import ipaddress
import json
import multiprocessing
import os
import subprocess
import sys
import time
import urllib.parse

import pika
from pika.exceptions import AMQPError

from memory import Memory, usage_of
from processes import ORIGIN_UUID, Failed, bridge

LEGACY_FORM = {'name', 'data'}
PATIENCE = 60  # seconds without any progress
PREFETCH = 256  # of the bridge, unless its options say otherwise: how much may be in flight when a session ends


class Direction:
    """Where events go in and come out, what they look like and how their number is read."""

    def __init__(self, name, exchange, key, properties, target, target_key):
        self.name, self.exchange, self.key, self.properties = name, exchange, key, properties
        self.target, self.target_key = target, target_key
        self.queue = f'cti-bridge-load.{name}'


class ToLegacy(Direction):
    def __init__(self):
        super().__init__('to-legacy', 'xivo', 'calls.call.created',
                         pika.BasicProperties(content_type='application/json', content_encoding='utf-8', delivery_mode=1),
                         'xivo-cti', 'call_created')

    def body(self, number, attempt):
        return json.dumps({
            'name': 'call_created', 'required_acl': 'events.calls.2e752722-0864-4665-887d-a78a024cf7c7',
            'origin_uuid': ORIGIN_UUID,
            'data': {'call_id': number, 'attempt': attempt, 'caller_id_name': 'Some One', 'caller_id_number': '1001', 'status': 'Ring',
                     'user_uuid': '2e752722-0864-4665-887d-a78a024cf7c7'}})

    def number(self, body):
        event = json.loads(body)
        if set(event) != LEGACY_FORM or event['name'] != 'call_created':
            raise ValueError(body)
        return event['data']['call_id'], event['data']['attempt']


class ToModern(Direction):
    def __init__(self):
        super().__init__('to-modern', 'xivo-cti', 'call_form_result', pika.BasicProperties(), 'xivo', 'call_form_result')

    def body(self, number, attempt):
        return json.dumps({'name': 'call_form_result', 'data': {
            'user_id': number, 'attempt': attempt, 'variables': {'number': str(number), 'firstname': 'John', 'lastname': 'Doe'}}})

    def number(self, body):
        event = json.loads(body)
        number = event['data']['user_id']
        if event['name'] != 'call_form_result' or not event['origin_uuid'] or event['data']['variables']['number'] != str(number):
            raise ValueError(body)
        return number, event['data']['attempt']


def parameters():
    return pika.URLParameters(os.environ['CTI_BRIDGE_AMQP_URL'] + '?heartbeat=10&blocked_connection_timeout=60')


class Publisher:
    """Publishes 0 … count-1 and then the mark, again and again what was not confirmed before a connection went."""

    def __init__(self, direction, count, window, rate, confirmed):
        self.direction, self.window, self.rate, self.confirmed = direction, window, rate, confirmed
        self.todo = collections.deque()  # to be sent again, before anything new
        self.next, self.end = 0, count + 1
        self.sent = self.returned = self.connections = 0
        self.unconfirmed = collections.OrderedDict()  # delivery tag: number
        self.problem = None

    def run(self):
        last = self.started = time.monotonic()
        while not self.done():
            before = self.confirmed.value
            connection = pika.SelectConnection(parameters(), on_open_callback=self.opened,
                                               on_open_error_callback=lambda connection, _: connection.ioloop.stop(),
                                               on_close_callback=lambda connection, _: connection.ioloop.stop())
            connection.ioloop.start()
            self.todo.extendleft(reversed(self.unconfirmed.values()))
            self.unconfirmed.clear()
            if self.confirmed.value > before:
                last = time.monotonic()
            if self.problem or time.monotonic() - last > PATIENCE:
                break
            if not self.done():
                time.sleep(0.1)
        return {'sent': self.sent, 'returned': self.returned, 'connections': self.connections, 'problem': self.problem}

    def done(self):
        return self.next == self.end and not self.todo and not self.unconfirmed

    def opened(self, connection):
        self.connections += 1
        connection.channel(on_open_callback=self.channel_open)

    def channel_open(self, channel):
        channel.add_on_return_callback(self.on_return)
        # A channel that is closed by the broker ends this connection, and another one starts.
        channel.add_on_close_callback(lambda channel, _: channel.connection.is_open and channel.connection.close())
        self.channel, self.tag, self.timer = channel, 0, None
        channel.confirm_delivery(self.on_confirm, callback=lambda _: self.fill())

    def fill(self):
        while len(self.unconfirmed) < self.window and (self.todo or self.next < self.end):
            early = self.early()
            if early > 0:
                # One timer at a time; without one, the next confirm goes on.
                self.timer = self.timer or self.channel.connection.ioloop.call_later(max(early, 0.01), self.fill_again)
                break
            number = self.todo.popleft() if self.todo else self.new()
            self.tag += 1
            self.unconfirmed[self.tag] = number
            self.sent += 1
            self.channel.basic_publish(self.direction.exchange, self.direction.key, self.direction.body(number, self.connections),
                                       self.direction.properties, mandatory=True)

    def new(self):
        """The number of an event that was not sent before."""
        self.next += 1
        return self.next - 1

    def early(self):
        """Seconds until the next event is due."""
        return self.next / self.rate - (time.monotonic() - self.started) if self.rate else 0

    def fill_again(self):
        self.timer = None
        if self.channel.is_open:
            self.fill()

    def on_confirm(self, frame):
        method = frame.method
        if isinstance(method, pika.spec.Basic.Nack):
            self.channel.connection.close()  # whatever is unconfirmed by then goes again, in order
            return
        if method.multiple:
            while self.unconfirmed and next(iter(self.unconfirmed)) <= method.delivery_tag:
                self.unconfirmed.popitem(last=False)
                self.confirmed.value += 1
        elif self.unconfirmed.pop(method.delivery_tag, None) is not None:
            self.confirmed.value += 1
        if self.done():
            self.channel.connection.close()
        elif not self.timer and len(self.unconfirmed) <= self.window // 2:
            self.fill()

    def on_return(self, _channel, method, _properties, _body):
        self.returned += 1
        self.problem = f'{method.exchange}, key {method.routing_key}: {method.reply_text}; does the bridge listen for it?'
        self.channel.connection.close()


def publish(direction, count, window, rate, confirmed, results):
    results.send(Publisher(direction, count, window, rate, confirmed).run())


def receive(direction, count, bound, received, results):
    seen = bytearray(count + 1)
    highest, doubled, sent_twice, redelivered, disordered = -1, 0, 0, 0, 0
    attempts = array.array('H', bytes(2 * (count + 1)))  # of the publisher, with which an event came first
    others = set()  # events and attempts that came later
    wrong = None
    arrivals = array.array('d')
    last = time.monotonic()
    while wrong is None and not seen[count] and time.monotonic() - last < PATIENCE:
        try:
            connection = pika.BlockingConnection(parameters())
            channel = connection.channel()
            channel.basic_qos(prefetch_count=1000)
            channel.queue_declare(direction.queue, durable=True, arguments={'x-queue-type': 'quorum'})
            channel.queue_bind(direction.queue, direction.target, direction.target_key)
            bound.set()
            unacked = 0
            for method, _, body in channel.consume(direction.queue, inactivity_timeout=0.5):
                if method is None:
                    if unacked:
                        channel.basic_ack(tag, multiple=True)
                        unacked = 0
                    if time.monotonic() - last > PATIENCE:
                        break
                    continue
                last, tag = time.monotonic(), method.delivery_tag
                arrivals.append(last)
                try:
                    number, attempt = direction.number(body)
                    first = not seen[number]
                    known = attempts[number] == attempt or (number, attempt) in others
                    if first:
                        attempts[number] = attempt
                    elif not known:
                        others.add((number, attempt))
                except (ValueError, KeyError, IndexError, TypeError) as problem:
                    wrong = f'{problem!r}: {body!r}'
                    break
                if first:
                    seen[number] = 1
                    disordered += number < highest
                    highest = max(highest, number)
                    received.value += 1
                elif method.redelivered:
                    redelivered += 1  # the receiver's own doing: it had not acked it yet
                elif known:
                    doubled += 1  # published once and here twice: the bridge's doing
                else:
                    sent_twice += 1
                unacked += 1
                if unacked == 200 or number == count:
                    channel.basic_ack(tag, multiple=True)
                    unacked = 0
                if number == count:
                    channel.cancel()
                    channel.queue_delete(direction.queue)
                    break
            connection.close()
        except AMQPError:
            time.sleep(0.1)
    results.send({'lost': count - sum(seen[:count]), 'doubled': doubled, 'sent_twice': sent_twice, 'redelivered': redelivered, 'disordered': disordered,
                  'wrong': wrong, 'arrivals': arrivals})


class Run:
    """One direction under way."""

    def __init__(self, direction, count, window, rate):
        self.direction, self.count = direction, count
        self.confirmed = multiprocessing.Value('q', 0, lock=False)
        self.received = multiprocessing.Value('q', 0, lock=False)
        self.bound = multiprocessing.Event()
        self.sending, from_publisher = multiprocessing.Pipe(duplex=False)
        self.receiving, from_receiver = multiprocessing.Pipe(duplex=False)
        self.receiver = multiprocessing.Process(
            target=receive, args=(direction, count, self.bound, self.received, from_receiver), daemon=True)
        self.publisher = multiprocessing.Process(
            target=publish, args=(direction, count, window, rate, self.confirmed, from_publisher), daemon=True)
        self.receiver.start()
        if not self.bound.wait(30):
            raise Failed(f'{direction.name}: the receiver could not bind to {direction.target}')

    def start(self):
        self.started = time.monotonic()
        self.publisher.start()

    def finish(self):
        """Both results, whichever comes first; a publisher that failed ends the receiver too."""
        sent = self.sending.recv()
        if sent['problem']:
            self.receiver.terminate()
            raise Failed(f"{self.direction.name}: {sent['problem']}")
        got = self.receiving.recv()
        self.seconds = (got['arrivals'][-1] if got['arrivals'] else time.monotonic()) - self.started
        return sent, got


def restart_broker(runs):
    """Stops and starts the broker after a tenth of the events, while they still come in; when it began and when it was back."""
    while any(run.received.value < run.count // 10 for run in runs):
        if not all(run.receiver.is_alive() for run in runs):
            raise Failed('the receiver ended before the restart')
        time.sleep(0.02)
    begun = time.monotonic()
    for command in ('stop_app', 'start_app'):
        subprocess.run(['rabbitmqctl', '--quiet', command], check=True)
    return begun, time.monotonic()


def resumption(arrivals, begun):
    """When events came again: the end of the longest silence that began after, or lasted until after, `begun`."""
    pairs = [(later - earlier, later) for earlier, later in zip(arrivals, arrivals[1:]) if later > begun]
    return max(pairs)[1] if pairs else None


def table(rows):
    """Its lines."""
    heads = list(rows[0])
    widths = [max(len(head), *(len(str(row[head])) for row in rows)) for head in heads]
    return ['  '.join(cell.ljust(width) if number == 0 else cell.rjust(width) for number, (cell, width) in enumerate(zip(cells, widths)))
            for cells in [heads, *([str(row[head]) for head in heads] for row in rows)]]


def tell(runs, memory):
    """How far it is, every minute, until it is over."""
    due = time.monotonic() + 60
    while any(run.receiver.is_alive() and not run.receiving.poll() for run in runs):
        time.sleep(0.5)
        if time.monotonic() >= due:
            due += 60
            print(f'{time.monotonic() - runs[0].started:6.0f} s  {sum(run.received.value for run in runs)} events'
                  + (f'  {memory.seen[-1][1]:.1f} MB' if memory else ''), flush=True)


def measure(arguments, daemon):
    directions = {'to-legacy': [ToLegacy], 'to-modern': [ToModern], 'both': [ToLegacy, ToModern]}[arguments.direction]
    runs = [Run(direction(), arguments.count, arguments.window, arguments.rate) for direction in directions]
    for run in runs:
        run.start()
    memory = Memory(daemon.process.pid) if daemon else None
    restarted = restart_broker(runs) if arguments.restart else None
    rows, failures = [], []
    if arguments.seconds:
        tell(runs, memory)
    for run in runs:
        sent, got = run.finish()
        row = {'direction': run.direction.name, 'events': run.count, 'lost': got['lost'], 'doubled': got['doubled'],
               'out of order': got['disordered'], 'seconds': f'{run.seconds:.1f}', 'events/s': f'{run.count / run.seconds:.0f}'}
        if restarted:
            begun, back = restarted
            resumed = resumption(got['arrivals'], begun)
            row |= {'sent twice': got['sent_twice'], 'redelivered': got['redelivered'], 'broker away': f'{back - begun:.1f} s',
                    'resumed after': f'{max(0, resumed - back):.2f} s' if resumed else 'nothing left'}
        rows.append(row)
        if got['wrong']:
            failures.append(f"{run.direction.name}: not the expected form: {got['wrong']}")
        if restarted and sent['connections'] == 1:
            failures.append(f'{run.direction.name}: all were sent before the broker stopped; a larger --count or a lower --rate makes it last')
        if restarted and got['doubled'] > arguments.prefetch:
            failures.append(f"{run.direction.name}: {got['doubled']} doubled, more than were in flight")
        for what in ('lost', 'disordered') if restarted else ('lost', 'doubled', 'disordered'):
            if got[what]:
                failures.append(f'{run.direction.name}: {got[what]} {what}')
        if sent['returned']:
            failures.append(f"{run.direction.name}: {sent['returned']} returned to the publisher")
    print()
    print('\n'.join(table(rows)))
    if daemon:
        peak, cpu = usage_of(daemon.process.pid)
        print(f'\nbridge: {peak:.0f} MB at most, {cpu:.1f} s of processor time')
        print(memory.told())
        if arguments.memory_limit and memory.figures()['max'] > arguments.memory_limit:
            failures.append(f"{memory.figures()['max']:.1f} MB, more than {arguments.memory_limit:g}")
        if arguments.report:
            with open(arguments.report, 'w') as report:
                json.dump({'rate': arguments.rate, 'prefetch': arguments.prefetch, 'directions': rows, 'processor_seconds': cpu, 'peak_mb': peak,
                           'memory_mb': memory.figures(), 'failures': failures}, report, indent=1)
        if arguments.restart:
            print('doubled: by the bridge, which had them in flight; at most its prefetch count.\nsent twice: by the publisher, for '
                  'want of a confirm when the broker went.\nredelivered: a second time from the receiver\'s own queue, not yet acked by it when the broker went.')
    return failures


def loopback(host):
    try:
        return host == 'localhost' or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def main():
    parser = argparse.ArgumentParser(prog='load', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--count', type=int, default=100_000, help='events in each direction (default: %(default)s)')
    parser.add_argument('--direction', choices=['to-legacy', 'to-modern', 'both'], default='both')
    parser.add_argument('--restart', action='store_true', help='stop and start the broker in the middle')
    parser.add_argument('--window', type=int, default=1000, help='unconfirmed events of a publisher (default: %(default)s)')
    parser.add_argument('--rate', type=float, default=0, help='events per second and direction (default: as fast as it goes)')
    parser.add_argument('--seconds', type=float, help='how long, at this rate, instead of --count')
    parser.add_argument('--memory-limit', type=float, metavar='MB', help='of the bridge; more is a failure')
    parser.add_argument('--report', metavar='FILE', help='write the figures as JSON, with what the bridge had in memory every 10 s')
    parser.add_argument('--prefetch', type=int, default=PREFETCH, help='prefetch count of the bridge (default: %(default)s)')
    parser.add_argument('--bridge', metavar='FILE', default=os.environ.get('CTI_BRIDGE'), help='the binary to start')
    parser.add_argument('--no-bridge', action='store_true', help='a bridge runs already')
    parser.add_argument('bridge_options', nargs='*', metavar='-- OPTION', help='options for the bridge, after --')
    arguments = parser.parse_args()
    if arguments.seconds:
        if not arguments.rate:
            parser.error('--seconds needs --rate')
        arguments.count = int(arguments.seconds * arguments.rate)
    url = os.environ.get('CTI_BRIDGE_AMQP_URL')
    if not url:
        parser.error('CTI_BRIDGE_AMQP_URL is not set; run it as scripts/with-broker scripts/load')
    if not loopback(urllib.parse.urlparse(url).hostname or ''):
        parser.error('a load test only goes to a broker on this machine')
    if arguments.restart and 'BROKER_NODE' not in os.environ:
        parser.error('--restart only stops a broker of scripts/with-broker')

    try:
        if arguments.no_bridge:
            failures = measure(arguments, None)
        else:
            with bridge(arguments.bridge, ['--prefetch-count', str(arguments.prefetch), *arguments.bridge_options]) as daemon:
                failures = measure(arguments, daemon)
                status = daemon.stop()
                if status:
                    failures.append(f'the bridge ended with exit code {status}')
                if failures:
                    failures += ['the last lines of the bridge:', *daemon.lines['stderr'][-15:]]
    except Failed as problem:
        failures = [str(problem)]
    for failure in failures:
        print(failure)
    print('\n' + ('FAILED' if failures else 'All arrived, in order.'))
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main())
