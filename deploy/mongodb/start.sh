#!/usr/bin/env bash
# Starts mongod as a replica set of one with authentication, which MongoDB only allows with a key file.
set -euo pipefail
install -m 0400 -o mongodb -g mongodb /dev/null /tmp/replica.key
printf '%s\n' "${MONGO_REPLICA_KEY:?see deploy/make-env.sh}" >/tmp/replica.key
exec docker-entrypoint.sh mongod --replSet rs0 --keyFile /tmp/replica.key --bind_ip_all
