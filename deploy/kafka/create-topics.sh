#!/usr/bin/env bash
# Written by `make manifests` from deploy/kafka/topics.yaml. Do not edit.
# Usage: KAFKA_SERVERS=host:port KAFKA_REPLICAS=1 create-topics.sh
# Where the broker wants a login: KAFKA_COMMAND_CONFIG=client.properties as well.
set -euo pipefail
PATH="$PATH:/opt/kafka/bin"

topic() {
    kafka-topics.sh --bootstrap-server "${KAFKA_SERVERS:?host:port of a broker}" --create --if-not-exists \
        --topic "$1" --partitions "$2" --replication-factor "${KAFKA_REPLICAS:?copies of each record}" \
        --config cleanup.policy=delete --config "retention.ms=$3" \
        ${KAFKA_COMMAND_CONFIG:+--command-config "$KAFKA_COMMAND_CONFIG"}
}

topic astrolens.images.submitted.v1 6 604800000
topic astrolens.images.submitted.v1.dlq 1 2592000000
topic astrolens.images.ingested.v1 24 604800000
topic astrolens.images.ingested.v1.dlq 1 2592000000
topic astrolens.images.analyzed.v1 6 604800000
topic astrolens.images.analyzed.v1.dlq 1 2592000000
topic astrolens.candidates.matched.v1 3 604800000
topic astrolens.candidates.matched.v1.dlq 1 2592000000
topic astrolens.images.enriched.v1 3 -1
topic astrolens.images.enriched.v1.dlq 1 2592000000
topic astrolens.labels.recorded.v1 3 -1
topic astrolens.labels.recorded.v1.dlq 1 2592000000
topic astrolens.calibrations.revised.v1 1 -1
topic astrolens.calibrations.revised.v1.dlq 1 2592000000
topic astrolens.models.promoted.v1 1 -1
topic astrolens.models.promoted.v1.dlq 1 2592000000
topic astrolens.heartbeat.v1 1 604800000
