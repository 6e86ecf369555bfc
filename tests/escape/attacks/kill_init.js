// The first process of the sandbox, or (where that would be the machine's) one that the test started.
module.exports = async (ctx) => {
  const did = { signals: 0 };
  const got = [];
  for (const pid of ctx.args.pids ?? [1, process.ppid]) {
    did.signals += 1;
    ctx.logger.info(`did ${JSON.stringify(did)}`);
    try { process.kill(pid, 'SIGKILL'); if (ctx.args.pids) got.push(`process ${pid}`); } catch {}
  }
  return { did, got };
};
