// A child that wants to outlive its sandbox; the test looks for its name afterwards.
const { spawn } = require('child_process');
module.exports = async (ctx) => {
  const child = spawn(process.execPath, ['-e', `setTimeout(() => {}, 20000) // ${ctx.args.marker}`], { detached: true, stdio: 'ignore', cwd: '/' });
  child.unref();
  return { did: { children: child.pid ? 1 : 0 }, got: [] };
};
