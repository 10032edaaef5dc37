// Makes the replica set of one and the user of the services. It may run twice.
const admin = db.getSiblingDB("admin");
admin.auth("root", process.env.MONGO_INITDB_ROOT_PASSWORD);
try {
  rs.status();
} catch (error) {
  if (error.codeName !== "NotYetInitialized") throw error;
  rs.initiate({ _id: "rs0", members: [{ _id: 0, host: "mongodb:27017" }] });
}
for (let tries = 0; !db.hello().isWritablePrimary; tries++) {
  if (tries > 60) throw new Error("the replica set has no primary after 30 s");
  sleep(500);
}
const astrolens = db.getSiblingDB("astrolens");
if (astrolens.getUser("astrolens") === null) {
  astrolens.createUser({
    user: "astrolens",
    pwd: process.env.MONGO_PASSWORD,
    roles: [{ role: "readWrite", db: "astrolens" }],
  });
}
