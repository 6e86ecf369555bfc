// Runs once, when the database is made: the user of gateways and workers. They make a database for each space.
const password = require('fs').readFileSync('/run/secrets/documents_password', 'utf8').trim();
db.getSiblingDB('admin').createUser({
  user: 'yunhan',
  pwd: password,
  roles: ['readWriteAnyDatabase', 'dbAdminAnyDatabase'],
});
