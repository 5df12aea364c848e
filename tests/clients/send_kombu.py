"""Publishes events to the topic exchange as the platform's daemons do: kombu, application/json, transient.

Each line of stdin is an object with "routing_key", "body" and, if wanted, "headers"; `cti-bridge translate --to modern`
prints such lines.
"""
import argparse
import json
import sys

import kombu

from broker import give_up_after, url


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--exchange', default='xivo')
    parser.add_argument('--type', default='topic')
    parser.add_argument('--timeout', type=float, default=30)
    arguments = parser.parse_args()
    give_up_after(arguments.timeout)

    exchange = kombu.Exchange(arguments.exchange, type=arguments.type, durable=True)
    with kombu.Connection(url(), transport_options={'confirm_publish': True}) as connection:
        producer = connection.Producer(exchange=exchange, auto_declare=True)
        for line in sys.stdin:
            if not line.strip():
                continue
            event = json.loads(line)
            headers = event.get('headers') or event.get('properties', {}).get('headers')
            producer.publish(event['body'], routing_key=event['routing_key'], headers=headers, delivery_mode='transient',
                             serializer='json')


main()
