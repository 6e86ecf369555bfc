// The host's services and the metadata of clouds, however they are spelt: by hand through the gate's
// socket, and the way functions do it. Only the gate's own refusal counts: that nobody listens is no wall.
const fs = require('fs');
const net = require('net');
// Well formed: to be refused as what they are (403).
const REFUSED = ['127.0.0.1', '0.0.0.0', 'localhost', 'LOCALHOST', 'a.localhost', 'ip6-localhost', '[::1]', '[::]', '[0:0:0:0:0:0:0:1]',
  '[::ffff:127.0.0.1]', '[::ffff:7f00:1]', '[::127.0.0.1]', '[64:ff9b::7f00:1]', '[64:ff9b:1::7f00:1]', '[2002:7f00:1::]', '[2001:0:7f00:1::]',
  '169.254.169.254', '[::ffff:169.254.169.254]', '[fd00:ec2::254]', '[fe80::1]', 'metadata.google.internal',
  '100.100.100.200', '10.0.0.1', '172.16.0.1', '192.168.0.1', '192.0.0.192', '198.18.0.1', '224.0.0.1', '255.255.255.255'];
// Odd: refused, or not even understood (400).
const ODD = ['127.1', '127.0.0.1.', 'localhost.', '2130706433', '0x7f000001', '0177.0.0.1', '127.0.0.1%lo', '0', '2852039166', '[::1%lo]',
  '\uff11\uff12\uff17.0.0.1', '127\u30020.0.1', '127%2e0.0.1', '127.0.0.1\t', ' 127.0.0.1', '127.0.0.1#', 'x@127.0.0.1', '127.0.0.1/'];
const SILENT = 0;
const ask = (gate, head) => new Promise((resolve) => {
  const socket = net.connect(gate, () => socket.write(head));
  let answer = '';
  socket.on('data', (data) => { answer += data; if (answer.includes('\r\n')) socket.destroy(); });
  socket.on('error', () => {}).on('close', () => resolve(Number(/^HTTP\/1\.. (\d+)/.exec(answer)?.[1] ?? SILENT)));
  setTimeout(() => socket.destroy(), 3000).unref();
});
const reach = (host, port) => new Promise((resolve) => {
  const socket = net.connect({ host, port }, () => { socket.destroy(); resolve(true); });
  socket.on('error', () => resolve(false));
  setTimeout(() => { socket.destroy(); resolve(false); }, 500).unref();
});
module.exports = async (ctx) => {
  const got = [];
  const did = { tried: 0 };
  const port = ctx.args.tcpPort;
  const gates = ['/run/yunhan/egress', '/channel/egress'].filter((file) => fs.existsSync(file));
  if (ctx.args.gated) Object.assign(did, { gates: gates.length, refused: 0 });
  const expect = async (gate, what, head, allowed) => {
    const status = await ask(gate, head);
    if (status === 403) did.refused += 1;
    if (!allowed.includes(status)) got.push(`${what}: ${status}`);
  };
  const connect = (host) => `CONNECT ${host}:${port} HTTP/1.1\r\nHost: ${host}:${port}\r\n\r\n`;
  for (const gate of gates) {
    for (const host of [...REFUSED, ctx.args.hostname, ...ctx.args.addresses]) await expect(gate, host, connect(host), [403]);
    for (const host of ODD) await expect(gate, host, connect(host), [400, 403]);
    await Promise.all([
      [`CONNECT 127.0.0.1:${port} HTTP/1.1\r\nHost: example.com:443\r\n\r\n`, [400, 403]],
      [`CONNECT example.invalid:${port} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`, [400, 502]],
      [`GET http://127.0.0.1:${port}/ HTTP/1.1\r\n\r\n`, [400]],
      [`CONNECT 127.0.0.1:${port} HTTP/1.1\nHost: x\n\n`, [400, 403, SILENT]], // has no end, so nothing was asked yet
      [`CONNECT example.invalid:1@127.0.0.1:${port} HTTP/1.1\r\n\r\n`, [400, 403]],
    ].map(([head, allowed]) => expect(gate, JSON.stringify(head), head, allowed)));
  }
  for (const host of ['127.0.0.1', '127.1', '::1', '::ffff:127.0.0.1', 'localhost', '0.0.0.0', ctx.args.hostname]) {
    did.tried += 1;
    if (await reach(host, port)) got.push(`tcp ${host}`);
  }
  return { did, got };
};
