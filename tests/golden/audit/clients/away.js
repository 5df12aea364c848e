// Shows who is away, from an event that is deleted.
const amqp = require('amqplib');

async function main() {
  const connection = await amqp.connect('amqp://localhost');
  const channel = await connection.createChannel();
  await channel.assertQueue('presence', { durable: true });
  await channel.bindQueue('presence', 'xivo', 'status.user');
  await channel.consume('presence', (message) => {
    console.log(message.content.toString());
    channel.ack(message);
  });
}

main();
