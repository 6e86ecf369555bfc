// Noise on everything that is open: a crash or a broken channel is its own end, nothing else.
const fs = require('fs');
module.exports = async () => {
  const did = { bytes: 0 };
  for (let fd = 0; fd < 64; fd += 1) try { did.bytes += fs.writeSync(fd, Buffer.alloc(4096, 0xff)); } catch {}
  await new Promise((resolve) => setTimeout(resolve, 3000));
  return { did, got: ['it was taken'] };
};
