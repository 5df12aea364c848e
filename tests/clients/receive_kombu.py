"""Binds an exclusive queue to the given keys of a topic exchange and prints each message as a JSON line, with kombu.

Says "bound" on stderr when ready. Ends after --count messages, or at the timeout with exit code 75. `payload_type` is
what a kombu callback is handed: "dict" for application/json, "str" for a body without a content type.
"""
import argparse
import json
import sys

import kombu

from broker import give_up_after, receiver_arguments, url


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    receiver_arguments(parser)
    arguments = parser.parse_args()
    give_up_after(arguments.timeout, 75 if arguments.count else 0)

    seen = []

    def on_message(payload, message):
        body = message.body
        if isinstance(body, (bytes, memoryview)):
            body = bytes(body).decode('utf-8', 'replace')
        properties = message.properties
        print(json.dumps({
            'exchange': message.delivery_info['exchange'],
            'routing_key': message.delivery_info['routing_key'],
            'content_type': message.content_type or None,
            'content_encoding': message.content_encoding or None,
            'delivery_mode': properties.get('delivery_mode'),
            'headers': message.headers,
            'body': body,
            'payload_type': type(payload).__name__,
        }, default=str, sort_keys=True), flush=True)
        message.ack()
        seen.append(message)

    exchange = kombu.Exchange(arguments.exchange, type=arguments.declare or 'topic', durable=True,
                              passive=not arguments.declare)
    with kombu.Connection(url()) as connection:
        channel = connection.channel()
        queue = kombu.Queue(exclusive=True, channel=channel)
        if arguments.declare:
            exchange(channel).declare()
        queue.declare()
        for key in arguments.keys:
            queue.bind_to(exchange=arguments.exchange, routing_key=key)
        with connection.Consumer(queue, callbacks=[on_message], channel=channel, auto_declare=False):
            print('bound', file=sys.stderr, flush=True)
            while not arguments.count or len(seen) < arguments.count:
                connection.drain_events()


main()
