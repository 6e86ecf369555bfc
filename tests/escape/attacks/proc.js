// Opened, never written to: on a rung without walls this is the real machine. What may be opened by
// everybody, but written by few, gets a value that changes nothing there.
const fs = require('fs');
module.exports = async () => {
  const got = [];
  const did = { attempts: 0 };
  const attempt = (what, act) => { did.attempts += 1; try { if (act() !== false) got.push(what); } catch {} };
  const use = (file, flags, act) => attempt(`${file} ${flags}`, () => {
    const fd = fs.openSync(file, flags);
    try { return act(fd); } finally { fs.closeSync(fd); }
  });
  for (const name of ['sys/kernel/core_pattern', 'sys/kernel/modprobe', 'sys/kernel/hostname', 'sys/vm/overcommit_memory',
    'sys/kernel/ns_last_pid', 'sys/net/ipv4/ip_forward', 'sys/fs/mqueue/msg_max', 'sys/fs/binfmt_misc/register',
    'sys/user/max_user_namespaces', 'sysrq-trigger', 'self/setgroups', 'irq/0/smp_affinity', '1/oom_score_adj', '1/mem']) use(`/proc/${name}`, 'r+', () => true);
  for (const name of ['self/uid_map', 'self/gid_map']) use(`/proc/${name}`, 'r+', (fd) => fs.writeSync(fd, '0 0 1\n'));
  use('/proc/self/oom_score_adj', 'r+', (fd) => fs.writeSync(fd, '-1000'));
  // A masked file is there, and empty.
  for (const name of ['kcore', 'kmsg', 'slabinfo', 'kpagecount', 'timer_list', 'keys', 'sched_debug', 'interrupts']) {
    use(`/proc/${name}`, 'r', (fd) => fs.readSync(fd, Buffer.alloc(1)) > 0);
  }
  for (const name of ['/sys/kernel', '/sys/class', '/sys/block', '/sys/fs/cgroup', '/dev/mem', '/dev/kmsg', '/dev/vda', '/dev/sda', '/dev/loop-control', '/dev/fuse', '/dev/kvm', '/dev/net/tun']) {
    if (fs.existsSync(name)) got.push(name);
  }
  return { did, got };
};
