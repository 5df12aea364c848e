// Binds an exclusive queue to the given keys of an exchange and prints each message as a JSON line, with amqplib.
// usage: receive_amqplib.js [--count N] [--timeout SECONDS] [--declare TYPE] EXCHANGE KEY…
// Says "bound" on stderr when ready. Ends after --count messages (0: never), or at the timeout with exit code 75.
const amqp = require('amqplib');
const { parseArgs } = require('node:util');

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    count: { type: 'string', default: '1' },
    timeout: { type: 'string', default: '30' },
    declare: { type: 'string' },
  },
});
const [exchange, ...keys] = positionals;
const count = Number(values.count);
const url = process.env.CTI_BRIDGE_AMQP_URL;
if (!url || !exchange || keys.length === 0) {
  console.error('usage: receive_amqplib.js [--count N] [--timeout SECONDS] [--declare TYPE] EXCHANGE KEY…');
  process.exit(64);
}

setTimeout(() => {
  if (count) console.error(`gave up after ${values.timeout} seconds`);
  process.exit(count ? 75 : 0);
}, values.timeout * 1000);

async function main() {
  const connection = await amqp.connect(url);
  const channel = await connection.createChannel();
  if (values.declare) await channel.assertExchange(exchange, values.declare, { durable: true });
  const { queue } = await channel.assertQueue('', { exclusive: true });
  for (const key of keys) await channel.bindQueue(queue, exchange, key);
  let seen = 0;
  await channel.consume(queue, async (message) => {
    const { fields, properties } = message;
    console.log(JSON.stringify({
      exchange: fields.exchange,
      routing_key: fields.routingKey,
      content_type: properties.contentType ?? null,
      content_encoding: properties.contentEncoding ?? null,
      delivery_mode: properties.deliveryMode ?? null,
      headers: properties.headers ?? null,
      body: message.content.toString('utf8'),
    }));
    channel.ack(message);
    seen += 1;
    if (seen === count) {
      // Closing waits for the broker, so the acknowledgement is through.
      await connection.close();
      process.exit(0);
    }
  });
  console.error('bound');
}

main().catch((error) => {
  console.error(error.message);
  process.exit(1);
});
