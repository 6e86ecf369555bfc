// Past the gate: from this process, where the bootstrap redirects connections, and from a child, where nothing does.
const net = require('net');
const os = require('os');
const dgram = require('dgram');
const { spawn } = require('child_process');
const HOSTS = ['127.0.0.1', '127.0.0.2', '::1', '::ffff:127.0.0.1', '0.0.0.0', 'localhost', '169.254.169.254'];
const reach = (options) => new Promise((resolve) => {
  const socket = net.connect(options, () => { socket.destroy(); resolve(true); });
  socket.on('error', () => resolve(false));
  setTimeout(() => { socket.destroy(); resolve(false); }, 500).unref();
});
const send = (host, port) => new Promise((resolve) => {
  const udp = dgram.createSocket('udp4').on('error', () => resolve(false));
  udp.send('x', port, host, (error) => { udp.close(); resolve(!error); });
});
const interfaces = () => { try { return Object.keys(os.networkInterfaces()); } catch { return []; } };
async function attempt({ tcpPort, abstractName, addresses, hostname }) {
  const got = [];
  const did = { connections: 0, datagrams: 0 };
  for (const name of interfaces()) if (name !== 'lo') got.push(`interface ${name}`);
  for (const host of [...HOSTS, hostname, ...addresses.map((text) => text.replace(/[[\]]/g, ''))]) {
    did.connections += 1;
    if (await reach({ host, port: tcpPort })) got.push(`tcp ${host}`);
  }
  if (await reach({ path: `\0${abstractName}` })) got.push('an abstract socket of the host');
  for (const host of ['192.0.2.1', ...addresses.filter((text) => !text.includes(':') && !text.startsWith('127.'))]) {
    did.datagrams += 1;
    if (await send(host, 53)) got.push(`udp ${host}`);
  }
  return { did, got };
}
if (process.argv[2] === 'child') {
  attempt(JSON.parse(process.argv[3])).then((found) => process.stdout.write(JSON.stringify(found)));
} else {
  module.exports = async (ctx) => {
    const { did, got } = await attempt(ctx.args);
    const { tcpPort, abstractName, addresses, hostname } = ctx.args;
    const child = spawn(process.execPath, [__filename, 'child', JSON.stringify({ tcpPort, abstractName, addresses, hostname })], { stdio: ['ignore', 'pipe', 'ignore'] });
    let text = '';
    for await (const piece of child.stdout) text += piece;
    const found = JSON.parse(text);
    return { did: { ...did, connectionsOfChild: found.did.connections, datagramsOfChild: found.did.datagrams }, got: [...got, ...found.got.map((what) => `${what} by a child`)] };
  };
}
