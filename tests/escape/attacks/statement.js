// What the kernel says about a function.
const fs = require('fs');
module.exports = async () => {
  const read = (file) => { try { return fs.readFileSync(file, 'utf8').trim().replace(/\s+/g, ' '); } catch { return 'none'; } };
  let status = {};
  try { status = Object.fromEntries(fs.readFileSync('/proc/self/status', 'utf8').split('\n').map((line) => line.split(':\t'))); } catch {}
  const { CapEff, CapBnd, NoNewPrivs, Seccomp } = status;
  return { uid: process.getuid(), uidMap: read('/proc/self/uid_map'), CapEff, CapBnd, NoNewPrivs, Seccomp };
};
