const fs = require('fs');
const os = require('os');
const net = require('net');
const path = require('path');
const KNOWN = ['code', 'dev', 'etc', 'lib', 'lib64', 'opt', 'proc', 'run', 'tmp', 'usr'];
const connects = (file) => new Promise((resolve) => {
  const socket = net.connect(file, () => { socket.destroy(); resolve(true); });
  socket.on('error', () => resolve(false));
});
module.exports = async (ctx) => {
  const did = { paths: 0, sockets: 0 };
  const got = fs.readdirSync('/').filter((name) => !KNOWN.includes(name)).map((name) => `/${name}`);
  const link = path.join(os.tmpdir(), 'link');
  fs.symlinkSync(ctx.args.hostFile, link);
  const wanted = [ctx.args.hostFile, link, '/etc/shadow', '/root', '/home', '/work', '/usr/bin/env', '/bin/sh',
    `/proc/self/root${ctx.args.hostFile}`, `/proc/1/root${ctx.args.hostFile}`, `/code/../../..${ctx.args.hostFile}`, `/proc/1/cwd/../..${ctx.args.hostFile}`];
  for (const file of wanted) { did.paths += 1; if (fs.existsSync(file)) got.push(file); }
  for (const [file, text] of [['/etc/hostname', ctx.args.hostname], ['/etc/resolv.conf', 'nameserver'], ['/etc/hosts', ctx.args.hostname], ['/proc/sys/kernel/hostname', ctx.args.hostname]]) {
    try { if (fs.readFileSync(file, 'utf8').includes(text)) got.push(`${file} of the host`); } catch {}
  }
  for (const file of ctx.args.engineSockets) { did.sockets += 1; if (await connects(file)) got.push(`the engine's socket ${file}`); }
  return { did, got };
};
