#!/usr/bin/env bash
# Makes the topics, and says what each user may do: `astrolens` what the services need, `alerts` reading what is public.
# It may run twice.
set -euo pipefail
PATH="$PATH:/opt/kafka/bin"
umask 077
cat >/tmp/admin.properties <<ADMIN
security.protocol=SASL_PLAINTEXT
sasl.mechanism=SCRAM-SHA-512
sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username="admin" password="${KAFKA_ADMIN_PASSWORD:?see deploy/make-env.sh}";
ADMIN
export KAFKA_COMMAND_CONFIG=/tmp/admin.properties
bash /create-topics.sh

allow() {
    user=$1
    shift
    kafka-acls.sh --bootstrap-server "${KAFKA_SERVERS:?host:port of a broker}" --command-config "$KAFKA_COMMAND_CONFIG" \
        --add --force --allow-principal "User:$user" --resource-pattern-type prefixed "$@" >/dev/null
}

allow astrolens --operation All --topic astrolens. --group astrolens-
allow alerts --operation Read --operation Describe \
    --topic astrolens.alerts. --topic astrolens.alerts-json. --topic astrolens.heartbeat.
allow alerts --operation Read --group alerts-
