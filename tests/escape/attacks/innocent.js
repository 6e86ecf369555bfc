module.exports = async () => 'fine';
