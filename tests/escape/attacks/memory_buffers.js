module.exports = async () => {
  const kept = [];
  for (let i = 0; i < 60; i += 1) { kept.push(Buffer.alloc(32 << 20, 1)); await new Promise(setImmediate); }
  await new Promise((resolve) => setTimeout(resolve, 500));
  return [`${kept.length * 32} MB`];
};
