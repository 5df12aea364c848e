# A queue with a name, and nothing that would keep it.
import pika

connection = pika.BlockingConnection(pika.ConnectionParameters('localhost'))
channel = connection.channel()
channel.queue_declare(queue='wallboard', durable=False, exclusive=False)
channel.queue_bind(queue='wallboard', exchange='xivo', routing_key='calls.call.created')


def show(channel, method, properties, body):
    print(body)


channel.basic_consume(queue='wallboard', on_message_callback=show, auto_ack=True)
channel.start_consuming()
