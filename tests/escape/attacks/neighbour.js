// A neighbour that is there: its folders and socket by their paths on the host, its markers in places that
// might be shared, and its token in the memory of every process that can be seen.
const fs = require('fs');
const net = require('net');
const os = require('os');
const path = require('path');
const SCANNED_MAX = 64 << 20;
const find = (folder, token, did) => {
  let entries = [];
  try { entries = fs.readdirSync(folder, { recursive: true }); } catch {}
  did.looked += 1;
  return entries.filter((name) => String(name).includes(token)).map((name) => `its file ${path.join(folder, String(name))}`);
};
const holds = (pid, token) => {
  for (const file of ['environ', 'cmdline']) {
    try { if (fs.readFileSync(`/proc/${pid}/${file}`).includes(token)) return file; } catch {}
  }
  let fd;
  try { fd = fs.openSync(`/proc/${pid}/mem`, 'r'); } catch { return null; }
  try {
    let left = SCANNED_MAX;
    for (const line of fs.readFileSync(`/proc/${pid}/maps`, 'latin1').split('\n')) {
      const match = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line);
      if (!match || left <= 0) continue;
      const from = parseInt(match[1], 16);
      const bytes = Buffer.alloc(Math.min(parseInt(match[2], 16) - from, 4 << 20));
      left -= bytes.length;
      try { if (bytes.subarray(0, fs.readSync(fd, bytes, 0, bytes.length, from)).includes(token)) return 'memory'; } catch {}
    }
  } finally { fs.closeSync(fd); }
  return null;
};
module.exports = async (ctx) => {
  const { token, neighbourPid, gated } = ctx.args;
  const did = { looked: 0, processes: 0 };
  const got = ctx.args.neighbourFiles.filter((file) => fs.existsSync(file));
  for (const folder of new Set([os.tmpdir(), '/tmp', '/dev/shm', '/var/tmp', '/run/yunhan', '/channel', '/code'])) got.push(...find(folder, token, did));
  // Without walls all processes of the machine can be seen: one is enough then.
  const pids = gated ? fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid) : [neighbourPid];
  for (const pid of pids) {
    did.processes += 1;
    const where = holds(pid, token);
    if (where) got.push(`its token in the ${where} of process ${pid}`);
  }
  await new Promise((resolve) => {
    const socket = net.connect(ctx.args.neighbourSocket, () => { got.push('its socket'); socket.destroy(); resolve(); });
    socket.on('error', resolve);
  });
  return { did, got };
};
