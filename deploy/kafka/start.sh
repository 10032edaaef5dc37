#!/usr/bin/env bash
# Starts the broker with its users. The image's own start formats the storage without any, and nobody could log in then.
# Users are made once, with the storage: another password later is changed with kafka-configs.sh.
set -euo pipefail
PATH="$PATH:/opt/kafka/bin"
umask 077
: "${KAFKA_ADMIN_PASSWORD:?see deploy/make-env.sh}" "${KAFKA_PASSWORD:?see deploy/make-env.sh}"
: "${KAFKA_ALERTS_PASSWORD:?see deploy/make-env.sh}"
scram=org.apache.kafka.common.security.scram.ScramLoginModule
{
    cat /server.properties
    for listener in services host; do
        printf 'listener.name.%s.scram-sha-512.sasl.jaas.config=%s required username="admin" password="%s";\n' \
            "$listener" "$scram" "$KAFKA_ADMIN_PASSWORD"
    done
} >/tmp/server.properties
# For the health check, which logs in like everybody else.
cat >/tmp/client.properties <<CLIENT
security.protocol=SASL_PLAINTEXT
sasl.mechanism=SCRAM-SHA-512
sasl.jaas.config=$scram required username="astrolens" password="$KAFKA_PASSWORD";
CLIENT
# The storage's last file to be written: where it is missing, formatting was not finished.
if [ ! -f /var/lib/kafka/data/meta.properties ]; then
    kafka-storage.sh format --cluster-id "$(kafka-storage.sh random-uuid)" --config /tmp/server.properties \
        --add-scram "SCRAM-SHA-512=[name=admin,password=$KAFKA_ADMIN_PASSWORD]" \
        --add-scram "SCRAM-SHA-512=[name=astrolens,password=$KAFKA_PASSWORD]" \
        --add-scram "SCRAM-SHA-512=[name=alerts,password=$KAFKA_ALERTS_PASSWORD]"
fi
exec kafka-server-start.sh /tmp/server.properties
