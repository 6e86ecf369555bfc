// Noise on everything that is open: a crash or a broken channel is its own end, nothing else.
const fs = require('fs');
module.exports = async () => {
  for (let fd = 0; fd < 64; fd += 1) try { fs.writeSync(fd, Buffer.alloc(4096, 0xff)); } catch {}
  return [];
};
