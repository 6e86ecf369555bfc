// Each child alone is within the limit.
const { spawn } = require('child_process');
module.exports = async (ctx) => {
  const script = 'const b = Buffer.alloc(60 << 20, 1); process.stdout.write("x"); setInterval(() => b, 1000)';
  const did = { children: 0, ready: 0 };
  let alive = 0;
  const children = [];
  for (let i = 0; i < 8; i += 1) {
    const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'ignore'] });
    child.on('error', () => {});
    child.stdout.on('data', () => { alive += 1; did.ready += 1; });
    child.on('exit', () => { alive -= 1; });
    children.push(child);
    did.children += 1;
  }
  ctx.logger.info(`did ${JSON.stringify(did)}`);
  await new Promise((resolve) => setTimeout(resolve, 3000));
  for (const child of children) child.kill('SIGKILL');
  return { did: { children: did.children }, got: alive * 60 > 128 ? [`${alive} children with 60 MB each`] : [] };
};
