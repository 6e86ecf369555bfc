// One system call by a program that came with the code (tests/escape/probe.py).
const os = require('os');
const path = require('path');
const { spawnSync } = require('child_process');
const { EPERM, ENOSYS, EACCES, EAFNOSUPPORT } = os.constants.errno;
module.exports = async () => {
  const { status, signal, error } = spawnSync(path.join(__dirname, 'probe'));
  if (error) throw error; // then nothing is proven
  if (signal) return { did: { calls: 1 }, got: [] }; // killed by the filter
  return { did: { calls: 1 }, got: [EPERM, ENOSYS, EACCES, EAFNOSUPPORT].includes(status) ? [] : [`errno ${status}`] };
};
