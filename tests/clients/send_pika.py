"""Publishes each line of stdin, a {"name", "data"} body, as the programs of 2013 did: key = name, no properties; any pika."""
import argparse
import json
import sys

import pika_any
from broker import give_up_after


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--exchange', default='xivo-cti')
    parser.add_argument('--key', help='routing key instead of the name in the body')
    parser.add_argument('--timeout', type=float, default=30)
    parser.add_argument('--declare', metavar='TYPE', help='declare the exchange first, durable, as TYPE')
    arguments = parser.parse_args()
    give_up_after(arguments.timeout)

    connection = pika_any.connect()
    channel = connection.channel()
    if arguments.declare:
        pika_any.declare_exchange(channel, arguments.exchange, arguments.declare)
    # Not what a client of 2013 did, and nothing in the message shows it: an error should end this program.
    channel.confirm_delivery()
    for line in iter(sys.stdin.readline, ''):  # Python 2 would read ahead
        body = line.rstrip('\n')
        if body:
            key = arguments.key or json.loads(body)['name']
            channel.basic_publish(arguments.exchange, key, body)
    connection.close()


main()
