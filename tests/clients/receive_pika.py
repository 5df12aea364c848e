"""Binds an exclusive queue to the given keys of an exchange and prints each message as a JSON line; any pika.

Says "bound" on stderr when ready. Ends after --count messages, or at the timeout with exit code 75.
"""
import argparse
import json
import sys

import pika_any
from broker import give_up_after, receiver_arguments


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    receiver_arguments(parser)
    arguments = parser.parse_args()
    give_up_after(arguments.timeout, 75 if arguments.count else 0)

    connection = pika_any.connect()
    channel = connection.channel()
    if arguments.declare:
        pika_any.declare_exchange(channel, arguments.exchange, arguments.declare)
    queue = pika_any.declare_own_queue(channel)
    for key in arguments.keys:
        channel.queue_bind(exchange=arguments.exchange, queue=queue, routing_key=key)
    seen = []

    def on_message(channel, method, properties, body):
        if isinstance(body, bytes):
            body = body.decode('utf-8', 'replace')
        print(json.dumps({
            'exchange': method.exchange,
            'routing_key': method.routing_key,
            'content_type': properties.content_type,
            'content_encoding': properties.content_encoding,
            'delivery_mode': properties.delivery_mode,
            'headers': properties.headers,
            'body': body,
        }, default=str, sort_keys=True))
        sys.stdout.flush()
        channel.basic_ack(delivery_tag=method.delivery_tag)
        seen.append(method.delivery_tag)
        if len(seen) == arguments.count:
            channel.stop_consuming()

    pika_any.consume(channel, queue, on_message)
    sys.stderr.write('bound\n')
    sys.stderr.flush()
    channel.start_consuming()
    connection.close()


main()
