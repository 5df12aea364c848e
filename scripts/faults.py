"""The faults of the chaos test, each with what proves that it struck; one that cannot be shown to have struck is an error."""
import os
import signal
import socket
import subprocess
import threading
import time

import pika
from pika.exceptions import ChannelClosedByBroker

from load import PREFETCH
from processes import Failed, bridge
from proxy import DOWN, UP, Proxy

SILENCE = 21.0  # seconds within which a silent connection has to be noticed
UNHEARD = 26.0  # and within which the broker has to: it looks once in a heartbeat, and gives up the third time
REPAIR = 30.0  # within which a queue or exchange has to be back
GRACE = 2.0  # within which the bridge has to end when it is told to
PATIENCE = 60.0
OURS = 'cti-bridge-load.'  # what the queues of the receivers begin with
INTAKE = {'to-legacy': 'cti-bridge.modern', 'to-modern': 'cti-bridge.legacy'}


class NotStruck(Failed):
    """The fault cannot be shown to have had any effect."""


class Struck:
    """A fault that is over: since when each direction could work again, what proves it, and figures of its own."""

    def __init__(self, back, proof, **figures):
        self.back = back if callable(back) else lambda _: back
        self.proof, self.figures = proof, figures


def control(*arguments):
    """What rabbitmqctl says; all that is asked for here can be asked for twice."""
    command = ['rabbitmqctl', '--quiet', *arguments]
    for last in (False, True):
        try:
            return subprocess.run(command, check=True, capture_output=True, encoding='utf-8', timeout=PATIENCE).stdout
        except subprocess.SubprocessError as problem:
            if last:
                raise NotStruck(f"{' '.join(command)}: {problem} {getattr(problem, 'stderr', None) or ''}") from None


def wait_until(condition, what, seconds=30.0):
    """What the condition comes to, once that is something."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            raise NotStruck(f'{what}: not within {seconds:g} s')
        time.sleep(0.005)
    return found


def broker():
    return pika.BlockingConnection(pika.URLParameters(os.environ['CTI_BRIDGE_AMQP_URL']))


class Outage(threading.Thread):
    """Looks when the broker refuses connections, and from when on it takes them again."""

    def __init__(self):
        super().__init__(daemon=True)
        self.port = int(os.environ['BROKER_PORT'])
        self.away = self.back = None
        self.start()

    def run(self):
        while not self.back:
            try:
                socket.create_connection(('127.0.0.1', self.port), 5).close()
                if self.away:
                    self.back = time.monotonic()
            except OSError:
                self.away = self.away or time.monotonic()
            time.sleep(0.02)

    def struck(self):
        self.join(PATIENCE)
        if not self.back:
            raise NotStruck('the broker took connections all the time' if not self.away else 'the broker did not come back')
        return Struck(self.back, f'connections refused for {self.back - self.away:.1f} s')


class Site:
    """The bridge, the proxy it goes through, the broker, and the streams of events."""

    def __init__(self, binary, streams, chance):
        self.binary, self.streams, self.chance = binary, streams, chance
        self.proxy = Proxy(int(os.environ['BROKER_PORT']))
        self.daemons = []
        self.start()
        self.declared = time.monotonic()  # when the newest queue was

    def start(self):
        self.daemon = bridge(self.binary, ['--prefetch-count', str(PREFETCH), '--amqp-url',
                                           f'amqp://guest:guest@127.0.0.1:{self.proxy.port}/%2f'])
        self.daemons.append(self.daemon)

    def restore(self):
        """Goes on after a fault that did not strike."""
        if self.daemon.process.poll() is not None:
            self.start()
        for stream in self.streams:
            stream.release()
            stream.go()

    def pairs(self, pairs):
        """Those of each direction; there must be some."""
        by_direction = {stream.name: [pair for pair in pairs if pair.is_of(stream.name)] for stream in self.streams}
        if not all(by_direction.values()):
            raise NotStruck('the bridge has no connection')
        return by_direction

    def wait_for_ends(self, pairs):
        """When the last of these connections of each direction had ended."""
        wait_until(lambda: all(pair.ended for pair in pairs), 'the connections of the bridge did not end')
        by_direction = self.pairs(pairs)
        return lambda name: max(pair.ended for pair in by_direction[name])

    # The process.

    def kill_bridge(self):
        pairs, pid = self.proxy.open(), self.daemon.process.pid
        self.daemon.process.kill()
        status = self.daemon.stop()
        if status != -signal.SIGKILL:
            raise NotStruck(f'the bridge ended with exit code {status}')
        self.wait_for_ends(pairs)
        back = time.monotonic()
        self.start()
        return Struck(back, f'process {pid} killed, {len(pairs)} connections ended')

    def stop_bridge(self):
        pairs, begun = self.proxy.open(), time.monotonic()
        status = self.daemon.stop()
        seconds = time.monotonic() - begun
        if status:
            raise NotStruck(f'the bridge ended with exit code {status}')
        self.wait_for_ends(pairs)
        back = time.monotonic()
        self.start()
        return Struck(back, f'ended with exit code 0 after {seconds:.2f} s', sigterm_seconds=seconds)

    # The broker.

    def kill_broker(self):
        with open(os.path.join(os.environ['BROKER_DIR'], 'node-1.pid')) as pid:
            os.kill(int(pid.read()), signal.SIGKILL)
        outage = Outage()
        try:
            subprocess.run(['start-node'], check=True, stdout=subprocess.DEVNULL, timeout=PATIENCE)
        except subprocess.SubprocessError as problem:
            raise Failed(f'the broker did not start again: {problem}') from None
        return outage.struck()

    def stop_broker(self):
        outage = Outage()
        control('stop_app')
        control('start_app')
        return outage.struck()

    def memory_alarm(self):
        return self.alarm(['set_vm_memory_high_watermark', '0.00001'], ['set_vm_memory_high_watermark', '0.4'])

    def disk_alarm(self):
        return self.alarm(['set_disk_free_limit', '1000000GB'], ['set_disk_free_limit', '1MB'])

    def alarm(self, on, off):
        begun = time.monotonic()

        def said(word):
            return [pair for pair in self.proxy.pairs if (pair.last(word) or 0) > begun]
        # The alarm stops the publishers too, and tells nothing to who publishes nothing. So the bridge sleeps until it is
        # set, and has its hands full when it wakes.
        os.kill(self.daemon.process.pid, signal.SIGSTOP)
        try:
            control(*on)
            os.kill(self.daemon.process.pid, signal.SIGCONT)
            wait_until(lambda: all(any(pair.is_of(stream.name) for pair in said('blocked')) for stream in self.streams),
                       'the broker did not tell both directions of the bridge of the alarm')
            time.sleep(self.chance.uniform(0.2, 1.5))
        finally:
            os.kill(self.daemon.process.pid, signal.SIGCONT)
            control(*off)
        wait_until(lambda: all(pair in said('unblocked') or pair.ended for pair in said('blocked')),
                   'the broker did not tell the bridge of the end of the alarm')
        over = self.pairs(said('unblocked'))
        first, last = min(pair.last('blocked') for pair in said('blocked')), max(pair.last('unblocked') for pair in said('unblocked'))
        return Struck(lambda name: max(pair.last('unblocked') for pair in over[name]),
                      f"{len(said('blocked'))} connections blocked for {last - first:.1f} s")

    def full_queue(self):
        begun = time.monotonic()

        def nacked(stream):
            return sum(pair.said['nack'][0] for pair in self.proxy.pairs if pair.is_of(stream.name) and (pair.last('nack') or 0) > begun)
        # The receivers take nothing until there is room again: else the queue would refuse one and take the next.
        for stream in self.streams:
            stream.hold()
        try:
            self.limit_queues(20)
            wait_until(lambda: all(nacked(stream) for stream in self.streams), 'the broker refused nothing of the bridge')
        finally:
            # RabbitMQ 3.10 goes on refusing for ever when a limit is taken away, and not when it is raised.
            self.limit_queues(10_000_000)
        counts = [nacked(stream) for stream in self.streams]
        back = time.monotonic()
        for stream in self.streams:
            stream.release()
        return Struck(back, f"{' and '.join(map(str, counts))} nacks")

    @staticmethod
    def limit_queues(length):
        control('set_policy', '--apply-to', 'queues', 'chaos', f'^{OURS}', f'{{"max-length":{length},"overflow":"reject-publish"}}')

    # The connections.

    def close_connections(self):
        pairs = self.proxy.open()
        control('close_all_connections', 'chaos')
        return Struck(self.wait_for_ends(pairs), f'{len(pairs)} connections ended')

    def reset(self):
        pairs = self.proxy.open()
        self.pairs(pairs)
        for pair in pairs:
            pair.reset()
        return Struck(self.wait_for_ends(pairs), f'{len(pairs)} connections ended')

    def cut(self, *ways):
        """Swallows what goes these ways on the connections there are; later ones are whole."""
        pairs, begun = self.proxy.open(), time.monotonic()
        self.pairs(pairs)
        for pair in pairs:
            pair.cut.update(ways)

        def news(name):
            return [pair.opened for pair in self.proxy.since(begun) if pair.is_of(name)]
        wait_until(lambda: all(news(stream.name) for stream in self.streams), 'the bridge made no new connection', PATIENCE)
        noticed = [min(news(stream.name)) - begun for stream in self.streams]
        swallowed = sum(pair.swallowed for pair in pairs)
        if not swallowed:
            raise NotStruck('nothing was swallowed')
        proof, figures = f"{swallowed} bytes swallowed, noticed after {' and '.join(f'{after:.1f}' for after in noticed)} s", {}
        if DOWN in ways:
            figures['noticed_seconds'] = max(noticed)
        if UP in ways:
            # Until the broker has noticed too, it delivers to the consumer that it cannot reach.
            wait_until(lambda: all(pair.left for pair in pairs), 'the broker keeps the old connections', PATIENCE)
            figures['broker_noticed_seconds'] = max(pair.left for pair in pairs) - begun
            proof += f", by the broker after {figures['broker_noticed_seconds']:.1f} s"

        def back(name):
            old = [pair for pair in pairs if pair.is_of(name)] if UP in ways else []
            return max([min(news(name)), *(pair.left for pair in old)])
        return Struck(back, proof, **figures)

    # What is on the broker. What is published where no queue is bound is lost before the bridge could have it; so nothing is.

    def delete(self, stream, strike):
        """Lets a deletion happen while nothing is under way, and waits until the bridge has repaired it."""
        for each in self.streams:
            each.drain()
            each.hold()
        before = self.bindings()
        proof = strike(stream)
        begun = time.monotonic()
        while missing := before - self.bindings():
            if time.monotonic() > begun + PATIENCE:
                raise Failed(f'{proof}: not back after {PATIENCE:g} s: {missing}')
        repaired = time.monotonic() - begun
        for each in self.streams:
            each.release()
        self.declared = back = time.monotonic()
        for each in self.streams:
            each.go()
        return Struck(back, f'{proof}, repaired after {repaired:.1f} s', repaired_seconds=repaired)

    def bindings(self):
        lines = control('--no-table-headers', 'list_bindings', 'source_name', 'destination_name', 'destination_kind', 'routing_key').splitlines()
        return {tuple(fields) for fields in (line.split('\t') for line in lines) if not fields[1].startswith(OURS)}

    def delete_queue(self):
        begun = time.monotonic()

        def strike(stream):
            queue = INTAKE[stream.name]
            with broker() as connection:
                connection.channel().queue_delete(queue)
            wait_until(lambda: any((pair.last('cancel') or 0) > begun for pair in self.proxy.pairs), 'no consumer of the bridge was cancelled')
            return f'{queue} deleted and its consumer cancelled'
        return self.delete(self.chance.choice(self.streams), strike)

    def delete_exchange(self):
        def strike(stream):
            exchange = stream.direction.exchange
            with broker() as connection:
                connection.channel().exchange_declare(exchange, passive=True)
                connection.channel().exchange_delete(exchange)
                try:
                    connection.channel().exchange_declare(exchange, passive=True)
                except ChannelClosedByBroker as gone:
                    return f'{exchange} deleted: {gone.reply_code}'
            raise NotStruck(f'{exchange} is there')
        return self.delete(self.chance.choice(self.streams), strike)

    # What only tests the test: an event is taken out of a receiver's queue, put at its end, or put there again and again.

    def spoil(self, keep, again):
        for stream in self.streams:
            stream.hold()
        time.sleep(1)  # so that others come in behind it
        stream = self.chance.choice(self.streams)
        with broker() as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            method, _, body = channel.basic_get(stream.direction.queue)
            if not method:
                raise NotStruck('there was nothing in the queue')
            if keep:
                channel.basic_nack(method.delivery_tag, requeue=True)
            else:
                channel.basic_ack(method.delivery_tag)
            for _ in range(again):
                channel.basic_publish('', stream.direction.queue, body)
        for each in self.streams:
            each.release()
        return Struck(time.monotonic(), f"an event of {stream.name} {'kept' if keep else 'taken away'} and put there {again} times")


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
    'intake queue deleted': Site.delete_queue,
    'exchange deleted': Site.delete_exchange,
}
SLOW = {'stall', 'cut client to server', 'cut server to client'}  # each takes two heartbeats to notice
SPOILS = {
    'spoiled: lost': lambda site: site.spoil(False, 0),
    'spoiled: disordered': lambda site: site.spoil(False, 1),
    'spoiled: doubled': lambda site: site.spoil(True, PREFETCH + 1),
}
