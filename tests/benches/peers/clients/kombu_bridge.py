"""A bridge as one would write it with kombu: each publish waits for its confirm, then the event is acked.

usage: kombu_bridge.py URL INTAKE PREFETCH
"""
import json
import sys

import kombu

url, intake, prefetch = sys.argv[1:]
# A connection each: waiting for a confirm would otherwise take in more events, one inside the other.
with kombu.Connection(url) as connection, kombu.Connection(url, transport_options={'confirm_publish': True}) as target:
    producer = kombu.Producer(target.channel(), exchange=kombu.Exchange('xivo-cti', 'direct'), auto_declare=False)

    def forward(message):
        event = json.loads(message.body)
        producer.publish(json.dumps({'name': event['name'], 'data': event['data']}), routing_key=event['name'],
                         content_type='application/json', content_encoding='utf-8', delivery_mode=1)
        message.ack()

    consumer = kombu.Consumer(connection.channel(), queues=[kombu.Queue(intake, no_declare=True)], on_message=forward,
                              prefetch_count=int(prefetch), auto_declare=False)
    with consumer:
        print('ready', file=sys.stderr, flush=True)
        while True:
            connection.drain_events()
