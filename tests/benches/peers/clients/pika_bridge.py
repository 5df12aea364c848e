"""A bridge as one would write it with pika for speed: callbacks, publishes pipelined, acks in batches.

usage: pika_bridge.py URL INTAKE PREFETCH
"""
import json
import sys

import pika

BATCH = 64


class Forwarder:
    def __init__(self, url, intake, prefetch):
        self.intake, self.prefetch = intake, prefetch
        self.published = self.confirmed = self.acked = 0
        self.out_of_turn = set()
        self.connection = pika.SelectConnection(pika.URLParameters(url), on_open_callback=self.opened)

    def opened(self, connection):
        connection.channel(on_open_callback=self.channel_open)

    def channel_open(self, channel):
        self.channel = channel
        channel.confirm_delivery(self.on_confirm, callback=lambda _: channel.basic_qos(
            prefetch_count=self.prefetch, callback=lambda _: channel.basic_consume(
                self.intake, self.on_event, callback=lambda _: print('ready', file=sys.stderr, flush=True))))

    def on_event(self, channel, method, _properties, body):
        event = json.loads(body)
        # One publish per delivery: the publish's number is the delivery's tag.
        self.published += 1
        assert method.delivery_tag == self.published
        channel.basic_publish('xivo-cti', event['name'], json.dumps({'name': event['name'], 'data': event['data']}).encode())

    def on_confirm(self, frame):
        method = frame.method
        assert isinstance(method, pika.spec.Basic.Ack), method
        if method.multiple:
            self.confirmed = max(self.confirmed, method.delivery_tag)
        else:
            self.out_of_turn.add(method.delivery_tag)
        while self.confirmed + 1 in self.out_of_turn:
            self.confirmed += 1
            self.out_of_turn.discard(self.confirmed)
        due = self.confirmed - self.acked
        if due >= BATCH or due and self.confirmed == self.published:
            self.channel.basic_ack(self.confirmed, multiple=True)
            self.acked = self.confirmed


url, intake, prefetch = sys.argv[1:]
Forwarder(url, intake, int(prefetch)).connection.ioloop.start()
