// The host's services and the metadata of clouds, however they are spelt: by hand through the gate's
// socket, and the way functions do it.
const fs = require('fs');
const net = require('net');
const HOSTS = ['127.0.0.1', '127.1', '127.0.0.1.', '2130706433', '0x7f000001', '0177.0.0.1', '127.0.0.1%lo', '0.0.0.0', '0',
  'localhost', 'LOCALHOST', 'localhost.', 'a.localhost', 'ip6-localhost', '[::1]', '[::]', '[::ffff:127.0.0.1]', '[::ffff:7f00:1]',
  '[::127.0.0.1]', '[64:ff9b::7f00:1]', '[64:ff9b:1::7f00:1]', '[2002:7f00:1::]', '[2001:0:7f00:1::]', '[::1%lo]', '[0:0:0:0:0:0:0:1]',
  '\uff11\uff12\uff17.0.0.1', '127\u30020.0.1', '127%2e0.0.1', '127.0.0.1\t', ' 127.0.0.1', '127.0.0.1#', 'x@127.0.0.1', '127.0.0.1/',
  '169.254.169.254', '2852039166', '[::ffff:169.254.169.254]', '[fd00:ec2::254]', '[fe80::1]', 'metadata.google.internal',
  '100.100.100.200', '10.0.0.1', '172.16.0.1', '192.168.0.1', '192.0.0.192', '198.18.0.1', '224.0.0.1', '255.255.255.255'];
const ask = (gate, head) => new Promise((resolve) => {
  const socket = net.connect(gate, () => socket.write(head));
  let answer = '';
  socket.on('data', (data) => { answer += data; if (answer.includes('\r\n')) socket.destroy(); });
  socket.on('error', () => {}).on('close', () => resolve(answer));
  setTimeout(() => socket.destroy(), 3000).unref();
});
const reach = (host, port) => new Promise((resolve) => {
  const socket = net.connect({ host, port }, () => { socket.destroy(); resolve(true); });
  socket.on('error', () => resolve(false));
  setTimeout(() => { socket.destroy(); resolve(false); }, 500).unref();
});
module.exports = async (ctx) => {
  const got = [];
  const port = ctx.args.tcpPort;
  const gates = ['/run/yunhan/egress', '/channel/egress'].filter((file) => fs.existsSync(file));
  if (ctx.args.gated && gates.length === 0) return ['no gate was found, nothing is proven'];
  const hosts = [...HOSTS, ctx.args.hostname, ...ctx.args.addresses];
  for (const gate of gates) {
    for (const host of hosts) {
      const answer = await ask(gate, `CONNECT ${host}:${port} HTTP/1.1\r\nHost: ${host}:${port}\r\n\r\n`);
      if (/^HTTP\/1\.. 2/.test(answer)) got.push(`tunnel to ${host}`);
    }
    for (const head of [`CONNECT 127.0.0.1:${port} HTTP/1.1\r\nHost: example.com:443\r\n\r\n`, `CONNECT example.invalid:${port} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`,
      `GET http://127.0.0.1:${port}/ HTTP/1.1\r\n\r\n`, `CONNECT 127.0.0.1:${port} HTTP/1.1\nHost: x\n\n`, `CONNECT example.invalid:1@127.0.0.1:${port} HTTP/1.1\r\n\r\n`]) {
      if (/^HTTP\/1\.. 2/.test(await ask(gate, head))) got.push(`tunnel by ${JSON.stringify(head)}`);
    }
  }
  for (const host of ['127.0.0.1', '127.1', '::1', '::ffff:127.0.0.1', 'localhost', '0.0.0.0', ctx.args.hostname]) if (await reach(host, port)) got.push(`tcp ${host}`);
  return got;
};
