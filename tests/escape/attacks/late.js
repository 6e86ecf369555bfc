// Works on after its result, into the run that comes next.
let runs = 0;
module.exports = async (ctx) => {
  runs += 1;
  if (runs > 1) { await new Promise((resolve) => setTimeout(resolve, 300)); return []; }
  const { serverless } = ctx;
  for (let i = 0; i < 50; i += 1) setTimeout(() => { console.log('late'); process.stdout.write('late\n'); }, i * 5);
  process.nextTick(() => console.error('late'));
  Promise.resolve().then(() => new Promise((resolve) => setTimeout(resolve, 50))).then(() => console.warn('late', typeof serverless));
  return [];
};
