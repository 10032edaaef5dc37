#!/usr/bin/env bash
# Writes the secrets that docker-compose.yml asks for into .env: random ones, readable by you alone.
# What .env already sets stays as it is.
set -euo pipefail
cd "$(dirname "$0")/.."
umask 077
touch .env
chmod 600 .env

secret() {
    # Letters and digits only: they stand in URLs.
    grep -q "^$1=" .env || echo "$1=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')" >>.env
}

secret ASTROLENS_TOKEN
secret ASTROLENS_METRICS_TOKEN
secret ASTROLENS_SESSION_KEY
secret KAFKA_ADMIN_PASSWORD
secret KAFKA_PASSWORD
secret KAFKA_ALERTS_PASSWORD
secret MONGO_ROOT_PASSWORD
secret MONGO_PASSWORD
secret MONGO_REPLICA_KEY
secret MINIO_ROOT_PASSWORD
secret MINIO_PASSWORD
secret GRAFANA_PASSWORD
echo "secrets are in $PWD/.env"
