// A child that wants to outlive its sandbox; the test looks for its name afterwards.
const { spawn } = require('child_process');
module.exports = async (ctx) => {
  const child = spawn(process.execPath, ['-e', `setInterval(() => {}, 1000) // ${ctx.args.marker}`], { detached: true, stdio: 'ignore', cwd: '/' });
  child.unref();
  return [];
};
