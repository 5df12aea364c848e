# Listens to Asterisk with the key of 14.24, on the exchange of today.
import pika

connection = pika.BlockingConnection(pika.ConnectionParameters('localhost'))
channel = connection.channel()
channel.queue_declare(queue='queue-log', durable=True)
channel.queue_bind(queue='queue-log', exchange='xivo', routing_key='QueueMemberStatus')


def log(channel, method, properties, body):
    print(body)


channel.basic_consume(queue='queue-log', on_message_callback=log, auto_ack=True)
channel.start_consuming()
