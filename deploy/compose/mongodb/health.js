// Healthy: the replica set has a primary. The first time it makes the replica set, of this one member.
const password = require('fs').readFileSync('/run/secrets/documents_root', 'utf8').trim();
const admin = new Mongo('mongodb://127.0.0.1:27017/?directConnection=true').getDB('admin');
admin.auth('root', password);
if (!admin.hello().setName) {
  const members = [{ _id: 0, host: 'mongodb:27017' }];
  admin.runCommand({ replSetInitiate: { _id: 'yunhan', members } });
}
quit(admin.hello().isWritablePrimary ? 0 : 1);
