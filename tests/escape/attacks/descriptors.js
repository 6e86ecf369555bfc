const fs = require('fs');
module.exports = async () => {
  const got = [];
  let sockets = 0;
  let descriptors = 0;
  for (const fd of fs.readdirSync('/proc/self/fd')) {
    let target;
    try { target = fs.readlinkSync(`/proc/self/fd/${fd}`); } catch { continue; }
    descriptors += 1;
    if (target.startsWith('socket:')) sockets += 1;
    else if (target.startsWith('/') && !/^\/dev\/null$|^\/proc\/\d+\/fd$/.test(target)) got.push(target);
    else if (/memfd|bpf|perf|io_uring/.test(target)) got.push(target);
  }
  if (sockets > 1) got.push(`${sockets} sockets`);
  return { did: { descriptors, sockets }, got };
};
