const fs = require('fs');
const net = require('net');
module.exports = async (ctx) => {
  const got = [];
  for (const file of ctx.args.neighbourFiles) if (fs.existsSync(file)) got.push(file);
  for (const folder of ['/run/yunhan', '/code', '/tmp', '/dev/shm']) {
    if (!fs.existsSync(folder)) continue;
    for (const name of fs.readdirSync(folder)) if (/neighbour/.test(name)) got.push(`${folder}/${name}`);
  }
  await new Promise((resolve) => {
    const socket = net.connect(ctx.args.neighbourSocket, () => { got.push('its socket'); socket.destroy(); resolve(); });
    socket.on('error', resolve);
  });
  return got;
};
